"""The OpenAPI document: what each operation takes and answers, in one place for all of them.

A router says ``@router.post("", **operation("createConversation", …))``. ninja makes paths and
path parameters of it; shapes, refusals, headers and examples are put in here, so that the
document is true for what handlers really do: they read and answer by themselves.
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
        "description": "Hand conversations in, whole or as they happen; read them and what was "
        "found in them.",
    },
    {
        "name": "Intake",
        "description": "The doors by which voice platforms hand in what they recorded, signed by "
        "each in its own way.",
    },
    {"name": "Agents", "description": "What is asked of a conversation: drafts and versions."},
    {
        "name": "Backfills",
        "description": "Analyse again what matches a filter, with the latest drafts.",
    },
    {
        "name": "Webhooks",
        "description": "Tell another program, signed and in order, of results as they come.",
    },
]
_REF = "#/components/schemas/{model}"
_RENAMED = {
    "apps__analysis__models__State": "AnalysisStatus",
    "apps__runs__models__State": "BackfillState",
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
    """One good answer of an operation."""

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

    ``takes`` is the schema of a JSON body, ``lines_of`` that of each line. ``refuses`` names error
    codes in addition to those of the body and those that every operation has; ``refusal_schemas``
    replaces the schema of the errors of a status. ``signed``: the sender has no key, signs in its
    own way, and names what it takes itself.
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
    """ninja's API with a document that says everything."""

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
        parameter["description"] = f"The id of the {kind}."
        parameter["example"] = _IDS.get(kind, "…")


_IDS = {
    "conversation": examples.CONVERSATION_ID,
    "agent": examples.AGENT_ID,
    "backfill": examples.BACKFILL_ID,
    "webhook": examples.WEBHOOK_ID,
    "source": examples.SOURCE_ID,
}


def _answer(answer: Answer) -> Json:
    found: Json = {"description": answer.description, "headers": _RATE_HEADERS}
    return found | ({"content": {JSON: _content(answer.shape)}} if answer.shape else {})


def _lines(shape: Model) -> Json:
    """A body of one object a line; each is what ``shape`` says."""
    _reference(shape)
    example = json.dumps(shape.get_example(), ensure_ascii=False)
    return {
        "schema": {
            "type": "string",
            "description": f"One {name_of(shape)} object a line, in UTF-8.",
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
    400: "What was sent cannot be read.",
    401: "No key, or one that does not open anything.",
    403: "The role of the key does not reach this far.",
    404: "There is no such thing.",
    408: "The body did not arrive in time.",
    409: "Right in itself, but not in the state that things are in now.",
    411: "The length of the body is not known.",
    413: "The body is too large.",
    415: "The body is of a kind that this door does not take.",
    422: "It can be read, and means nothing that could be done.",
    429: "Too many requests with this key in this minute.",
    503: "The server cannot do it at this moment.",
    507: "The server has no room for the body.",
}

_HEADERS: Json = {
    "X-RateLimit-Limit": {
        "description": "Requests that this key may make in a minute at doors of this class.",
        "schema": {"type": "integer"},
    },
    "X-RateLimit-Remaining": {
        "description": "How many of them are left.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "X-RateLimit-Reset": {
        "description": "Seconds until they are all there again.",
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
    "description": "The same write again with the same key within 24 hours is done once and "
    "answers the same.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"},
    "example": "2f1c9a5e-order-1093",
}


def _schemas() -> Json:
    """Every shape that some operation names, and what those are made of."""
    models = [(model, "validation") for model in _USED.values()]
    _, top = models_json_schema(models, ref_template=_REF, by_alias=True)  # type: ignore[arg-type]
    found: Json = top["$defs"]
    names = {name: _RENAMED.get(name, name.removesuffix("Schema")) for name in found}
    return {names[name]: _renamed(found[name], names) for name in sorted(found)}


def _renamed(node: Any, names: Mapping[str, str]) -> Any:
    """The schema with references by their final names, and without what says nothing."""
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
