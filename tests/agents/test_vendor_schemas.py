"""Schemas as the vendors print them: saved, sent in strict mode, answers held to the original."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from apps.agents.builder import NotShowable, rows_of, schema_of
from apps.llm.client import LlmClient
from apps.llm.schema import compile_strict
from apps.llm.specs import ModelSpec
from apps.llm.structured import StructuredRequest
from tests.factories.drafts import agent, draft
from tests.fakes import strict_rules
from tests.fakes.fixtures import FakeLLM

from .vendor_schemas import NESTED, VENDORS

ALL = {**VENDORS, "nested": NESTED}
each = pytest.mark.parametrize("name", ALL)


@pytest.fixture
async def client() -> AsyncIterator[LlmClient]:
    made = LlmClient()
    yield made
    await made.aclose()


@each
@pytest.mark.django_db
def test_it_is_kept_as_it_came_and_taken_by_strict_mode(name: str) -> None:
    made = agent(analysis={"schema": json.dumps(ALL[name], indent=2)})
    document = draft(made).config.parsed()
    assert json.dumps(document.schema) == json.dumps(ALL[name])
    always = [b.name for b in document.built_ins if b.required]
    compiled = compile_strict(document.answer_schema(), required_names=always)
    assert compiled.closed
    strict_rules.check(compiled.schema)
    own = [n for n in compiled.schema["properties"] if n not in always]  # type: ignore[attr-defined]
    assert own == list(ALL[name]["properties"])


@each
def test_the_builder_shows_it_or_says_why_not(name: str) -> None:
    if name == "nested":
        with pytest.raises(NotShowable, match=r"defs|customer"):
            rows_of(ALL[name])
        return
    rows = rows_of(ALL[name])
    assert json.dumps(schema_of(rows, base=ALL[name])) == json.dumps(ALL[name])
    rules = {row.name: (row.minimum, row.maximum) for row in rows}
    if name == "customer_support":
        assert rules["customer_effort_score"] == (1, 5)


@each
async def test_a_strict_server_answers_what_the_original_allows(
    client: LlmClient, fake_llm: FakeLLM, name: str
) -> None:
    original = ALL[name]
    answer = await client.complete(_request(fake_llm, original))
    assert answer.error is None, answer.error_message
    assert answer.requests == 1
    [body] = fake_llm.bodies
    assert body["response_format"]["json_schema"]["strict"] is True
    checks = Draft202012Validator(original, format_checker=FormatChecker())
    left = [e for e in checks.iter_errors(answer.output) if e.validator != "required"]
    assert left == []


def _request(fake: FakeLLM, original: dict[str, Any]) -> StructuredRequest:
    return StructuredRequest(
        model=ModelSpec("fake-model", base_url=fake.url),
        messages=(
            {"role": "system", "content": "Analyse."},
            {"role": "user", "content": "user: My bill is twice what it was."},
        ),
        schema=compile_strict(original),
        original_schema=original,
    )
