"""The OpenAPI document: what each operation takes and returns.

A router says ``@router.post("", **operation("createConversation", …))``. ninja makes paths and
path parameters of it. Schemas, errors, headers and examples are added here.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ninja import NinjaAPI
from ninja.openapi.schema import OpenAPISchema
from pydantic.json_schema import models_json_schema

from apps.core.schemas import Body, Schema

from .refusals import refusals
from .schemas import examples
from .schemas.common import Error

JSON = "application/json"
NDJSON = "application/x-ndjson"
Json = dict[str, Any]
Model = type[Schema]

TAGS: list[Json] = [
    {
        "name": "Conversations",
        "description": "Send conversations, complete or as they happen, and read their analyses.",
    },
    {
        "name": "Intake",
        "description": "Webhook receivers for voice platforms, each verified with the platform's "
        "own signature.",
    },
    {"name": "Agents", "description": "Agents, drafts, and versions."},
    {
        "name": "Backfills",
        "description": "Rerun the analysis on all conversations that match a filter.",
    },
    {
        "name": "Insights",
        "description": "Statistics of conversations and of the fields of their analyses.",
    },
    {
        "name": "Contacts",
        "description": "People with their phone number, email, and custom fields, and where each "
        "value comes from.",
    },
    {
        "name": "Derived fields",
        "description": "Scorecards and other fields computed from fields of results.",
    },
    {
        "name": "Alerts",
        "description": "Rules that watch results and rates, and the incidents that they open.",
    },
    {
        "name": "Budgets",
        "description": "Caps on spending per day and month, for all work and for single agents.",
    },
    {
        "name": "Follow-ups",
        "description": "The queue of conversations that someone has to come back to.",
    },
    {
        "name": "CRM connections",
        "description": "Connections that write changed contacts to a CRM. For admins.",
    },
    {
        "name": "Webhooks",
        "description": "Send signed events to your own systems.",
    },
]
_REF = "#/components/schemas/{model}"
_RENAMED = {
    "apps__alerts__models__rules__Kind": "AlertKind",
    "apps__contacts__models__Origin": "ContactOrigin",
    "apps__crm__models__Kind": "CrmKind",
    "apps__follow_ups__models__Origin": "FollowUpOrigin",
    "apps__runs__models__run__Kind": "RunKind",
    "apps__analysis__models__State": "AnalysisStatus",
    "apps__runs__models__run__State": "BackfillState",
    "PauseReason": "BackfillPauseReason",
}
_WITH_KEY = ("unauthorized", "rate_limited")
_UNREAD = (
    "incomplete_body",
    "insufficient_storage",
    "length_required",
    "too_large",
    "too_slow",
    "unavailable",
)
_SIGNED = ("rate_limited", *_UNREAD)
_WRITING = (
    "forbidden",
    "bad_request",
    "idempotency_in_progress",
    "idempotency_key_reused",
    *_UNREAD,
)
_WITH_BODY = ("not_json", "unsupported_media_type")


@dataclass(frozen=True, slots=True)
class Answer:
    """One successful response of an operation."""

    shape: Model | None
    description: str


def operation(
    operation_id: str,
    summary: str,
    *,
    answers: Mapping[int, Answer],
    refuses: Iterable[str] = (),
    takes: Model | None = None,
    lines_of: Model | None = None,
    query: Iterable[Json] = (),
    refusal_schemas: Mapping[int, Model] | None = None,
    signed: bool = False,
) -> Json:
    """Return the keyword arguments of a router's decorator for one operation.

    ``takes`` is the schema of a JSON body, ``lines_of`` that of each line. `refuses` names error
    codes in addition to those of the body and those that every operation has; ``refusal_schemas``
    replaces the schema of the errors of a status. ``signed``: the sender has no key and signs in
    its own way, and the operation describes its own body.
    """
    extra: Json = {
        "x-takes": takes,
        "x-lines-of": lines_of,
        "x-answers": dict(answers),
        "x-refuses": list(refuses),
        "x-refusal-schemas": dict(refusal_schemas or {}),
        "parameters": list(query),
        "x-signed": signed,
    }
    return {"operation_id": operation_id, "summary": summary, "openapi_extra": extra}


class Api(NinjaAPI):
    """The API of ninja with a complete document."""

    def get_openapi_schema(
        self, *, path_prefix: str | None = None, path_params: Json | None = None
    ) -> OpenAPISchema:
        """The document; made once, since nothing in it depends on the request."""
        return self._document

    @cached_property
    def _document(self) -> OpenAPISchema:
        document = super().get_openapi_schema()
        for methods in document["paths"].values():
            for method, details in methods.items():
                _complete(method, details)
        document["components"]["schemas"] = _schemas()
        document["components"]["headers"] = _HEADERS
        return document


def _complete(method: str, details: Json) -> None:
    takes: Model | None = details.pop("x-takes", None)
    lines_of: Model | None = details.pop("x-lines-of", None)
    signed: bool = details.pop("x-signed", False)
    common = _SIGNED if signed else _WITH_KEY
    refuses = [*common, *details.pop("x-refuses", ())]
    shapes = details.pop("x-refusal-schemas", {})
    for parameter in details["parameters"]:
        _describe_path_parameter(parameter)
    if any(parameter["in"] == "path" for parameter in details["parameters"]):
        refuses.append("not_found")
    if method != "get" and not signed:
        refuses += _WRITING
        details["parameters"].append(_IDEMPOTENCY_KEY)
    if takes is not None:
        required = any(field.is_required() for field in takes.model_fields.values())
        details["requestBody"] = {"required": required, "content": {JSON: _content(takes)}}
        refuses += _WITH_BODY
        if issubclass(takes, Body):
            refuses += takes.error_codes()
    if lines_of is not None:
        details["requestBody"] = {"required": True, "content": {NDJSON: _lines(lines_of)}}
        refuses.append("unsupported_media_type")
    answers: dict[int, Answer] = details.pop("x-answers", {})
    responses = {str(status): _answer(answer) for status, answer in sorted(answers.items())}
    responses |= _refusal_responses(refuses, shapes)
    details["responses"] = responses


def _describe_path_parameter(parameter: Json) -> None:
    if parameter["in"] == "path":
        kind = parameter["name"].removesuffix("_id")
        parameter["schema"] = {"type": "string", "minLength": 1}
        parameter["description"] = f"The ID of the {kind}."
        parameter["example"] = _IDS.get(kind, "…")


_IDS = {
    "conversation": examples.CONVERSATION_ID,
    "agent": examples.AGENT_ID,
    "backfill": examples.BACKFILL_ID,
    "webhook": examples.WEBHOOK_ID,
    "follow_up": examples.FOLLOW_UP_ID,
    "source": examples.SOURCE_ID,
}


def _answer(answer: Answer) -> Json:
    found: Json = {"description": answer.description, "headers": _RATE_HEADERS}
    return found | ({"content": {JSON: _content(answer.shape)}} if answer.shape else {})


def _lines(shape: Model) -> Json:
    """Return the content of a body with one object per line."""
    _reference(shape)
    example = json.dumps(shape.get_example(), ensure_ascii=False)
    return {
        "schema": {
            "type": "string",
            "description": f"One {name_of(shape)} object per line, in UTF-8.",
        },
        "example": example + "\n",
    }


def name_of(schema: Model) -> str:
    """Return the name of a schema in the document: a class may have the name of a model before
    its `Schema`."""
    return schema.__name__.removesuffix("Schema")


def _reference(schema: Model) -> Json:
    _USED[schema.__name__] = schema
    return {"$ref": _REF.format(model=name_of(schema))}


def _content(schema: Model) -> Json:
    return {"schema": _reference(schema), "example": schema.get_example()}


_USED: dict[str, Model] = {"Error": Error}


def used_schemas() -> list[Model]:
    """Return the schemas of all bodies and responses."""
    return list(_USED.values())


def _refusal_responses(codes: Iterable[str], shapes: Mapping[int, Model]) -> Json:
    by_status: dict[int, list[str]] = {}
    for code in dict.fromkeys(codes):
        by_status.setdefault(refusals()[code].status, []).append(code)
    return {
        str(status): {
            "description": _DESCRIPTIONS[status],
            "headers": _headers_of(status),
            "content": {
                JSON: {
                    "schema": _reference(shapes.get(status, Error)),
                    "examples": {
                        code: {"value": refusals()[code].body(code)} for code in sorted(names)
                    },
                }
            },
        }
        for status, names in sorted(by_status.items())
    }


def _headers_of(status: int) -> Json:
    if status == 401:
        return {}
    if status == 429:
        return {**_RATE_HEADERS, "Retry-After": {"$ref": "#/components/headers/Retry-After"}}
    return _RATE_HEADERS


_DESCRIPTIONS = {
    400: "The request is malformed.",
    401: "The API key is missing or invalid.",
    403: "The key's role doesn't allow this.",
    404: "Not found.",
    408: "The body didn't arrive in time.",
    409: "The request conflicts with the current state.",
    411: "The Content-Length header is missing.",
    413: "The body is too large.",
    415: "The body has a type that this operation doesn't accept.",
    422: "The request is well formed but invalid.",
    429: "The rate limit of this key is exceeded.",
    503: "The server can't do this at the moment.",
    507: "The server has no disk space left.",
}

_HEADERS: Json = {
    "X-RateLimit-Limit": {
        "description": "Requests per minute that this key can make to operations of this kind.",
        "schema": {"type": "integer"},
    },
    "X-RateLimit-Remaining": {
        "description": "Requests left in this minute.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "X-RateLimit-Reset": {
        "description": "Seconds until the limit resets.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "Retry-After": {
        "description": "Seconds to wait.",
        "schema": {"type": "integer", "minimum": 1},
    },
}
_RATE_HEADERS = {
    name: {"$ref": f"#/components/headers/{name}"} for name in _HEADERS if name != "Retry-After"
}
_IDEMPOTENCY_KEY: Json = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Makes retries safe: repeating a write with the same key within 24 hours "
    "returns the first response.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"},
    "example": "2f1c9a5e-order-1093",
}


def _schemas() -> Json:
    """Return every schema that an operation names, and the schemas in it."""
    models = [(model, "validation") for model in _USED.values()]
    _, top = models_json_schema(models, ref_template=_REF, by_alias=True)  # type: ignore[arg-type]
    found: Json = top["$defs"]
    names = {name: _RENAMED.get(name, name.removesuffix("Schema")) for name in found}
    return {names[name]: _renamed(found[name], names) for name in sorted(found)}


def _renamed(node: Any, names: Mapping[str, str]) -> Any:
    """Return the schema with references by their final names, and without titles."""
    if isinstance(node, list):
        return [_renamed(item, names) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        name = str(node["$ref"]).rsplit("/", 1)[-1]
        return {**node, "$ref": _REF.format(model=names.get(name, name))}
    dull = isinstance(node.get("title"), str)
    return {
        key: _renamed(value, names) for key, value in node.items() if not (key == "title" and dull)
    }
