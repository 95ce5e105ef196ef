"""What the OpenAPI document says, held against what is promised to programs outside."""

import json
import re
from typing import Any

import jsonschema
import pytest

from apps.analysis.models import State
from apps.api.openapi import name_of, used_schemas
from apps.api.refusals import refusals
from apps.conversations.models import Reason, Status, Trigger
from apps.llm.errors import ErrorCode
from apps.runs.models import State as BackfillState

from .conftest import Caller

pytestmark = [pytest.mark.django_db]

#: The stable outside: programs rely on these names. Add to them; drop none.
PROMISED = """\
POST /api/conversations
POST /api/conversations/bulk
POST /api/conversations/{id}/messages
POST /api/conversations/{id}/close
GET /api/conversations
GET /api/conversations/{id}
DELETE /api/conversations/{id}
GET /api/conversations/{id}/analysis
GET /api/conversations/{id}/analyses
POST /api/conversations/{id}/analysis/rerun
POST /api/agents
GET /api/agents
GET /api/agents/{id}
PATCH /api/agents/{id}/draft
POST /api/agents/{id}/publish
GET /api/agents/{id}/versions
GET /api/insights
POST /api/backfills/preview
POST /api/backfills
GET /api/backfills
GET /api/backfills/{id}
GET /api/backfills/{id}/items
POST /api/backfills/{id}/pause
POST /api/backfills/{id}/resume
POST /api/backfills/{id}/cancel
POST /api/backfills/{id}/retry_failed
POST /api/mappings/apply
GET /api/backfills/{id}/report
POST /api/backfills/{id}/rollback
GET /api/contacts
POST /api/contacts
GET /api/contacts/{id}
PATCH /api/contacts/{id}
DELETE /api/contacts/{id}
GET /api/contact-fields
POST /api/contact-fields
GET /api/mappings
POST /api/mappings
DELETE /api/mappings/{id}
GET /api/crm-connections
POST /api/crm-connections
PATCH /api/crm-connections/{id}
DELETE /api/crm-connections/{id}
POST /api/crm-connections/{id}/test
GET /api/crm-connections/{id}/pushes
GET /api/webhooks
POST /api/webhooks
DELETE /api/webhooks/{id}
GET /api/webhooks/{id}/deliveries
"""
OPERATION_ID = re.compile(r"[a-z]+([A-Z][a-z]+)+")


@pytest.fixture
def document(viewer: Caller) -> dict[str, Any]:
    """As a program fetches it."""
    found: dict[str, Any] = json.loads(viewer.get("/openapi.json").content)
    return found


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method.upper()} {path}", details)
        for path, methods in document["paths"].items()
        for method, details in methods.items()
    ]


def test_it_has_everything_that_was_promised(document: dict[str, Any]) -> None:
    found = {re.sub(r"{\w+_id}", "{id}", name) for name, _ in operations(document)}
    assert set(PROMISED.splitlines()) - found == set()


def test_each_operation_is_described_in_full(document: dict[str, Any]) -> None:
    tags = {tag["name"] for tag in document["tags"]}
    ids = [details["operationId"] for _, details in operations(document)]
    assert len(set(ids)) == len(ids)
    for name, details in operations(document):
        assert OPERATION_ID.fullmatch(details["operationId"]), name
        assert details["summary"], name
        assert details["description"], name
        assert set(details["tags"]) <= tags, name
        assert "429" in details["responses"], name
        for parameter in details["parameters"]:
            assert parameter["description"], (name, parameter["name"])


def test_everything_but_the_receivers_of_platforms_asks_for_a_key(document: dict[str, Any]) -> None:
    scheme = document["components"]["securitySchemes"]["ApiKey"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    for name, details in operations(document):
        if "/intake/" not in name:
            assert details["security"] == [{"ApiKey": []}], name
            assert "401" in details["responses"], name


def test_each_example_is_what_its_schema_says(document: dict[str, Any]) -> None:
    tried = set()
    for name, details in operations(document):
        bodies = [details["requestBody"]] if "requestBody" in details else []
        for holder in [*bodies, *details["responses"].values()]:
            content = holder.get("content", {}).get("application/json")
            if content is None:
                continue
            examples = [e["value"] for e in content.get("examples", {}).values()]
            examples += [content["example"]] if "example" in content else []
            assert examples, (name, holder)
            schema = {**content["schema"], "components": document["components"]}
            for example in examples:
                jsonschema.Draft202012Validator(
                    schema, format_checker=jsonschema.FormatChecker()
                ).validate(example)
            tried.add(content["schema"]["$ref"].rsplit("/", 1)[-1])
    assert tried == {name_of(schema) for schema in used_schemas()}


def test_closed_lists_are_closed(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for name, values in {
        "Status": Status.values,
        "Trigger": Trigger.values,
        "AnalysisStatus": State.values,
        "BackfillState": BackfillState.values,
        "Reason": Reason.values,
        "ErrorCode": ErrorCode.values,
    }.items():
        assert schemas[name]["enum"] == [str(value) for value in values], name


def test_no_schema_is_named_after_a_module(document: dict[str, Any]) -> None:
    assert [name for name in document["components"]["schemas"] if "__" in name] == []


def test_each_code_says_something_to_a_person() -> None:
    for code, refusal in refusals().items():
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", code)
        assert refusal.example.message.endswith("."), code
        assert 400 <= refusal.status < 500 or code in {"insufficient_storage", "unavailable"}, code
