"""What the bundled model is sent instead of a schema: a grammar with a limit for everything."""

import json
from typing import Any

import pytest

from apps.llm.replies import Message, Rung, request_body
from apps.llm.schema import compile_strict
from apps.llm.schema.grammar import ITEM_CHARACTERS, LIST_ITEMS, TEXT_CHARACTERS, bounded
from apps.llm.services import bundled_model
from apps.llm.specs import ModelSpec

TEXT = {"type": "string", "maxLength": TEXT_CHARACTERS}
ITEM = {"type": "string", "maxLength": ITEM_CHARACTERS}


@pytest.mark.parametrize(
    ("schema", "sent"),
    [
        ({"type": "string"}, TEXT),
        ({"type": ["string", "null"]}, {**TEXT, "type": ["string", "null"]}),
        ({"type": "string", "maxLength": 40}, {"type": "string", "maxLength": 40}),
        ({"type": "string", "maxLength": 9_000}, TEXT),
        (
            {"type": "string", "minLength": 500},
            {"type": "string", "minLength": 500, "maxLength": 500},
        ),
        ({"type": "string", "enum": ["a" * 400]}, {"type": "string", "enum": ["a" * 400]}),
        ({"type": "string", "format": "date"}, {**TEXT, "format": "date"}),
        ({"type": "integer"}, {"type": "integer"}),
        ({"type": "boolean"}, {"type": "boolean"}),
        (
            {"type": "array", "items": {"type": "string"}},
            {"type": "array", "maxItems": LIST_ITEMS, "items": ITEM},
        ),
        (
            {"type": "array", "minItems": 9, "items": {"type": "integer"}},
            {"type": "array", "minItems": 9, "maxItems": 9, "items": {"type": "integer"}},
        ),
        (
            {"type": "array", "maxItems": 2, "items": {"enum": ["x"], "type": "string"}},
            {"type": "array", "maxItems": 2, "items": {"enum": ["x"], "type": "string"}},
        ),
        (
            {"anyOf": [{"type": "string"}, {"type": "null"}]},
            {"anyOf": [TEXT, {"type": "null"}]},
        ),
        (
            {"type": "object", "properties": {"maxLength": {"type": "string"}}},
            {"type": "object", "properties": {"maxLength": TEXT}},
        ),
        (
            {"$ref": "#/$defs/a", "$defs": {"a": {"type": "string"}}},
            {"$ref": "#/$defs/a", "$defs": {"a": TEXT}},
        ),
    ],
)
def test_every_text_and_list_gets_a_limit(schema: dict[str, Any], sent: dict[str, Any]) -> None:
    before = json.dumps(schema)
    assert bounded(schema) == sent
    assert json.dumps(schema) == before


def _body(model: ModelSpec, rung: Rung = Rung.STRICT) -> dict[str, Any]:
    original = {
        "type": "object",
        "properties": {"note": {"type": "string", "maxLength": 60}, "tags": {"type": "array"}},
    }
    messages = [Message(role="user", content="Hello")]
    sent = request_body(
        model, messages, compile_strict(original), rung, 300, "max_completion_tokens", ""
    )
    body: dict[str, Any] = json.loads(sent)
    return body


def test_the_bundled_model_is_sent_a_compact_grammar() -> None:
    body = _body(bundled_model().spec())

    assert "response_format" not in body
    head, _, schema = body["grammar"].partition("start: %json ")
    assert head == "%llguidance {}\n"
    sent = json.loads(schema)
    assert sent["x-guidance"]["whitespace_flexible"] is False
    assert sent["properties"]["note"]["maxLength"] == 60
    assert sent["properties"]["tags"]["maxItems"] == LIST_ITEMS
    assert body["messages"] == [{"role": "user", "content": "Hello"}]


def test_other_servers_are_sent_the_schema_without_limits_of_ours() -> None:
    body = _body(ModelSpec("gpt-4.1-mini"))

    assert "grammar" not in body
    schema = json.dumps(body["response_format"]["json_schema"]["schema"])
    assert "maxLength" not in schema
    assert "maxItems" not in schema


def test_the_lower_rungs_are_the_same_for_all_servers() -> None:
    assert "tools" in _body(bundled_model().spec(), Rung.TOOL)
    assert _body(bundled_model().spec(), Rung.JSON)["response_format"] == {"type": "json_object"}
