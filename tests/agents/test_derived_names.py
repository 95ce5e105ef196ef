"""A schema and a derived field never have the same name, whoever saves first."""

import json
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from apps.agents import services
from apps.agents.draft_start import template_source
from apps.agents.templates import SUPPORT_SHORT
from apps.conversations.derived.definitions import InvalidDerivedField
from tests.factories import client_as, make_derived_field
from tests.factories.drafts import ADA, agent, draft, with_fields
from tests.locks import Writer

pytestmark = pytest.mark.django_db

LONG = {"rule": {"field": "duration_ms", "op": "gt", "value": 600_000}}
MESSAGE = "“is_long” is the name of a derived field. Choose another name."


def text(name: str) -> dict[str, Any]:
    return {name: {"type": "string", "description": "A text."}}


@pytest.fixture
def editor() -> Client:
    return client_as("editor")


def test_a_draft_may_not_take_the_name_of_a_derived_field() -> None:
    made = agent(**with_fields(**text("topic")))
    make_derived_field("is_long", kind="boolean", definition=LONG)
    with pytest.raises(services.InvalidDraft) as refused:
        services.save_draft(agent=made, changes=with_fields(**text("is_long")), by=ADA)
    assert refused.value.fields == {"analysis.schema/properties/is_long": MESSAGE}
    assert list(draft(made).config.parsed().own_fields()) == ["topic"]


def test_the_fields_of_a_scorecard_are_all_taken() -> None:
    made = agent(**with_fields(greeting={"type": "boolean"}, score={"type": "integer"},
                               issues={"type": "array", "items": {"type": "string"}}))  # fmt: skip
    make_derived_field("quality")
    for name in ("quality", "quality_passed", "quality_failed"):
        with pytest.raises(services.InvalidDraft, match=f"“{name}” is the name of a derived"):
            services.save_draft(agent=made, changes=with_fields(**text(name)), by=ADA)


def test_an_agent_may_not_start_with_the_name_of_a_derived_field() -> None:
    make_derived_field("topic", kind="boolean", definition=LONG)
    with pytest.raises(services.InvalidDraft, match="“topic” is the name of a derived field"):
        services.create_agent(
            name="New", channel="voice", by=ADA, start=template_source(SUPPORT_SHORT)
        )


@pytest.mark.parametrize("mode", ["json", "builder"])
def test_the_page_shows_the_message_at_the_field_and_keeps_the_form(
    editor: Client, mode: str
) -> None:
    made = agent(**with_fields(**text("topic")))
    make_derived_field("is_long", kind="boolean", definition=LONG)
    schema = json.dumps(with_fields(**text("is_long"))["analysis"]["schema"], indent=2)
    rows = json.dumps([{"name": "is_long", "kind": "text", "description": "Mine."}])
    form = {"base_version": "0", "base": str(draft(made).save_count), "mode": mode}
    form |= {"schema": schema} if mode == "json" else {"rows": rows, "base_schema": "{}"}
    shown = editor.post(f"/agents/{made.public_id}/fields/", form).content.decode()
    assert MESSAGE in shown
    assert ("Mine." if mode == "builder" else "A text.") in shown
    assert list(draft(made).config.parsed().own_fields()) == ["topic"]


def test_a_derived_field_may_not_take_the_name_of_a_field_or_a_built_in() -> None:
    agent(**with_fields(**text("topic")))
    for name, message in {
        "topic": "The schema of Billing line has a field “topic”. Choose another name.",
        "chat_summary": "“chat_summary” is reserved for a built-in field. Choose another name.",
    }.items():
        with pytest.raises(InvalidDerivedField) as refused:
            make_derived_field(name, kind="boolean", definition=LONG)
        assert refused.value.fields == {"name": message}


@pytest.mark.django_db(transaction=True)
def test_of_two_who_take_a_name_together_one_is_refused() -> None:
    made = agent(**with_fields(**text("topic")))
    with transaction.atomic():
        services.save_draft(agent=made, changes=with_fields(**text("is_long")), by=ADA)
        other = Writer(lambda: make_derived_field("is_long", kind="boolean", definition=LONG))
        other.wait_blocked()
    with pytest.raises(InvalidDerivedField, match="has a field “is_long”"):
        other.join()
