"""The whole API called by its own OpenAPI document: what is allowed, and what is not.

No answer may be a 500, have a status, a header, a body or an error code that the document does
not know. Few examples for each operation here; `make test-slow` tries many more.
"""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
import pytest_django
import schemathesis
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, transaction
from django.utils import timezone
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case as AnyCase
from schemathesis import GenerationMode
from schemathesis.checks import CheckFunction, load_all_checks, not_a_server_error
from schemathesis.core import NOT_SET
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation as AnyOperation
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from apps.accounts.actors import Actor
from apps.accounts.keys import create_api_key
from apps.accounts.models import Role
from apps.alerts.definitions import Definition
from apps.alerts.incidents import open_incident
from apps.alerts.services import create_rule
from apps.api.instance import api
from apps.platforms.sources import create_source
from apps.runs.options import Options
from apps.runs.services import start
from apps.webhooks.services import create_endpoint
from tests.factories import (
    make_agent,
    make_contact,
    make_conversation,
    make_conversations,
    make_derived_field,
    make_follow_up,
    make_mapping,
)
from tests.factories.crm import make_connection, make_push

load_all_checks()

Case = AnyCase[Any]
APIOperation = AnyOperation[Any, Any, Any, Any]

BY = Actor.system("tests")
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
CHECKS: list[CheckFunction] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]

#: What cannot go well on things that are as they are here.
REFUSED_HERE = {
    "getAnalysis",  # there is none
    "receivePlatformWebhook",  # nobody signed it
    "resumeBackfill",  # it is not paused
    "retryFailed",  # nothing failed
    "rollBackBackfill",  # not in this version
    "testCrmConnection",  # no CRM can be reached
}

#: Parts of bodies that name what there is not, or what this version does not do.
UNKNOWABLE = (
    *("agent_version", "transfers", "filters", "token", "sample", "lane", "budget", "after"),
    *("owner", "due_at"),
    *("day", "month", "agents"),
)

pytestmark = [pytest.mark.django_db]


def _strict(node: Any) -> Any:
    """The document with every object closed, so that an undocumented key is found."""
    if isinstance(node, list):
        return [_strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    found = {key: _strict(value) for key, value in node.items()}
    if isinstance(node.get("properties"), dict) and node.get("type") == "object":
        found.setdefault("additionalProperties", False)
    return found


@schemathesis.serializer("application/x-ndjson")
def _as_lines(ctx: schemathesis.SerializationContext, value: Any) -> bytes:
    lines = value if isinstance(value, list) else [value]
    return "\n".join(json.dumps(line) for line in lines).encode()


def _document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(api.get_openapi_schema(path_prefix="api/")))
    bulk = document["paths"]["/api/conversations/bulk"]["post"]["requestBody"]["content"]
    bulk["application/x-ndjson"] = {
        "schema": {"type": "array", "items": {"$ref": "#/components/schemas/ConversationIn"}}
    }
    schemas = document["components"]["schemas"]
    for name, schema in schemas.items():
        schemas[name] = schema if name.endswith("In") else _strict(schema)
    return document


SCHEMA: BaseSchema = schemathesis.openapi.from_dict(_document())
SCHEMA.app = WSGIHandler()
LOW = {"rule": {"field": "duration_ms", "op": "lt", "value": 60_000}}
OPERATIONS: list[APIOperation] = [
    found.ok() for found in SCHEMA.get_all_operations() if isinstance(found, Ok)
]


def _of_alerts() -> dict[str, str]:
    """A rule, and an open incident of another one."""
    found = [
        create_rule(
            wanted=Definition(
                name=name, kind="count", channel="voice", direction="above", threshold=9.0
            ),
            by=BY,
        )
        for name in ("Busy", "Very busy")
    ]
    incident = open_incident(found[1], agent_id=None, at=timezone.now())
    return {"rule_id": found[0].public_id, "incident_id": incident.public_id}


@pytest.fixture(scope="module")
def things(
    django_db_setup: None, django_db_blocker: pytest_django.DjangoDbBlocker
) -> Iterator[dict[str, str]]:
    """Something of each kind, by the names of path parameters, made once.

    In one transaction around all tests of this module, each of which rolls back its own.
    """
    with django_db_blocker.unblock(), transaction.atomic():
        yield _make_things()
        transaction.set_rollback(True)


def _make_things() -> dict[str, str]:
    agent = make_agent()
    conversation = make_conversation(agent)
    make_conversations(agent, 2)
    run = start(channel="voice", params={}, options=Options(), by=BY)
    endpoint, _ = create_endpoint(
        url="https://1.1.1.1/hook", events=["conversation.analyzed"], agent=None, by=BY
    )
    source = create_source(kind="retell", name="R", secret="key_1", by=BY)
    return {
        "kind": "retell",
        "source_id": source.public_id,
        "connection_id": make_push(
            connection=make_connection("https://1.1.1.1/crm")
        ).connection.public_id,
        "webhook_id": endpoint.public_id,
        "conversation_id": conversation.public_id,
        "agent_id": agent.public_id,
        "contact_id": make_contact().public_id,
        "follow_up_id": make_follow_up().public_id,
        **_of_alerts(),
        "field_name": make_derived_field("low", kind="boolean", definition=LOW).name,
        "mapping_id": make_mapping("call_summary", "last_name").public_id,
        "backfill_id": run.public_id,
    }


@pytest.fixture(autouse=True)
def _inside_a_test(settings: Any) -> Iterator[None]:
    """No limits of requests; and as Django's own test client does, keep the test's connection,
    which is in a transaction, over the end of a request."""
    settings.API_RATE_LIMITS = {}
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


def _play(
    operation: APIOperation,
    mode: GenerationMode,
    things: dict[str, str],
    examples: int,
    *,
    unknown: bool = False,
) -> None:
    """Call one operation so often; on things that exist, or on ids that nobody has given."""
    paths = {name: value for name, value in things.items() if f"{{{name}}}" in operation.path}
    headers = _headers()
    codes = _codes_of(operation)

    @given(case=operation.as_strategy(mode, path_parameters=None if unknown else paths))
    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def play(case: Case) -> None:
        # Hypothesis draws the same objects again: what is drawn is not to be changed.
        case.body, case.query = copy.deepcopy(case.body), copy.deepcopy(case.query)
        if mode is GenerationMode.POSITIVE:
            _name_what_exists(case, things)
        with transaction.atomic():
            response = case.call(headers=headers)
            transaction.set_rollback(True)
        case.validate_response(response, checks=CHECKS)
        if response.status_code >= 400:
            code = response.json()["error"]["code"]
            assert code in codes[str(response.status_code)], (code, case.as_curl_command())

    play()


def _headers() -> dict[str, str]:
    _, key = create_api_key(name="schemathesis", role=Role.ADMIN, by=BY)
    # The WSGI transport takes bodies as they come, and the site compresses long ones.
    return {"Authorization": f"Bearer {key}", "Accept-Encoding": "identity"}


def _name_what_exists(case: Case, things: dict[str, str]) -> None:
    """No schema can say which ids, times, cursors and fields there are."""
    bodies: list[Any] = case.body if isinstance(case.body, list) else [case.body]
    for body in bodies:
        if not isinstance(body, dict):
            continue
        if "agent_id" in body and "webhooks" in case.operation.path:
            body["agent_id"] = things["agent_id"]
        elif "agent_id" in body:
            body |= {"agent_id": things["agent_id"], "channel": "voice"}
        runs = case.operation.path.startswith(("/api/backfills", "/api/mappings/apply"))
        if runs and "channel" in body:
            body["channel"] = "voice"
        elif case.operation.path.startswith(("/api/contact", "/api/mappings")):
            _name_a_contact(case, body)
        body |= {name: things[name] for name in ("conversation_id",) if name in body}
        if "url" in body:
            body["url"] = "https://1.1.1.1/hook"
        for name in {*UNKNOWABLE, "started_at", "ended_at"} - set(_required(case)):
            body.pop(name, None)
        for message in body.get("messages") or ():
            message.pop("at", None)
    _name_what_is_asked(case)


def _required(case: Case) -> list[str]:
    """Return the names that the body of an operation must have."""
    (body,) = case.operation.body or (None,)
    found = body.optimized_schema.get("required", []) if body else []
    return list(found)


def _name_what_is_asked(case: Case) -> None:
    """Leave out of a query what no schema can draw."""
    known = {parameter.name for parameter in case.operation.query} - {"cursor", "filters"}
    case.query = {name: case.query[name] for name in known & set(case.query or ())}


def _name_a_contact(case: Case, body: dict[str, Any]) -> None:
    """A contact has a number of its own; no schema says which fields and names there are."""
    if "contact-fields" in case.operation.path:
        choices = ["a"] if body.get("type") == "choice" else []
        body |= {"name": "plan", "choices": choices, "label": "Plan"}
        return
    if "mappings" in case.operation.path:
        names = {"analysis_field": "call_summary", "contact_field": "first_name"}
        body.pop("channel", None)
        body |= {"agent_id": None, "mode": "overwrite", **names}
        return
    body.pop("fields", None)
    body |= {"phone_number": "+14155550142", "email": None}


def _codes_of(operation: APIOperation) -> dict[str, set[str]]:
    """The documented error codes of an operation, by status."""
    raw = api.get_openapi_schema()["paths"][operation.path][operation.method]
    return {
        status: set(response["content"]["application/json"]["examples"])
        for status, response in raw["responses"].items()
        if status >= "400"
    }


def _cases() -> Iterator[Any]:
    for operation in OPERATIONS:
        for mode in MODES:
            yield pytest.param(operation, mode, id=f"{operation.label} {mode.value}")


def _body_of(raw: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """Kind and description of an operation's body; None where it takes none."""
    for kind, content in raw.get("requestBody", {}).get("content", {}).items():
        return kind, content
    return None, {}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_the_example_of_the_document_is_taken(
    operation: APIOperation, things: dict[str, str]
) -> None:
    raw = api.get_openapi_schema()["paths"][operation.path][operation.method]
    kind, content = _body_of(raw)
    body: Any = copy.deepcopy(content.get("example", {})) if kind else NOT_SET
    case = operation.Case(
        path_parameters={n: v for n, v in things.items() if f"{{{n}}}" in operation.path},
        body=json.loads(body) if kind == "application/x-ndjson" else body,
        media_type=kind,
    )
    _name_what_exists(case, things)
    response = case.call(headers=_headers())
    case.validate_response(response, checks=CHECKS)
    refused = raw["operationId"] in REFUSED_HERE
    assert (response.status_code >= 400) is refused, response.text


@pytest.mark.parametrize(("operation", "mode"), list(_cases()))
def test_things_that_exist(
    operation: APIOperation, mode: GenerationMode, things: dict[str, str]
) -> None:
    _play(operation, mode, things, 6)


@pytest.mark.slow
@pytest.mark.parametrize(("operation", "mode"), list(_cases()))
def test_many_requests(
    operation: APIOperation, mode: GenerationMode, things: dict[str, str]
) -> None:
    _play(operation, mode, things, 400)
    _play(operation, mode, things, 100, unknown=True)
