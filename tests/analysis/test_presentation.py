"""An analysis for programs and for people."""

from decimal import Decimal
from typing import Any

import pytest

from apps.accounts.actors import Actor
from apps.analysis.imports import Imported, record_imported
from apps.analysis.models import Analysis
from apps.analysis.pages import title_of
from apps.analysis.presentation import changes_between, value_of
from apps.analysis.schemas import AnalysisSchema
from apps.analysis.transcript import first_words
from tests.factories import HELLO, make_agent, make_conversation

pytestmark = pytest.mark.django_db
BY = Actor.system("tests")


def test_schema_returns_what_the_api_shows() -> None:
    conversation = make_conversation(make_agent())
    analysis = record_imported([Imported(conversation, {"b": 1, "a": "x"})], by=BY)[0]
    config = conversation.agent_version.config
    Analysis.objects.filter(pk=analysis.pk).update(
        config=config, cost=Decimal("0.0007"), input_tokens=12, cached_tokens=4, output_tokens=3
    )
    analysis = Analysis.objects.select_related("conversation", "config__model").get(pk=analysis.pk)

    shown = AnalysisSchema.from_analysis(analysis).as_dict()

    assert list(shown["analysis"]) == ["b", "a"]
    assert shown["usage"] == {
        "input_tokens": 12,
        "cached_tokens": 4,
        "output_tokens": 3,
        "estimated": False,
        "cost": "0.00070000",
    }
    assert shown["conversation_id"] == conversation.public_id
    assert shown["agent_id"] == conversation.agent.public_id
    assert shown["config"] == f"sha256:{config.sha256}"
    assert (shown["status"], shown["trigger"], shown["agent_version"]) == (
        "succeeded",
        "imported",
        0,
    )
    assert {"model", "created_at"} < set(shown)


def test_what_cost_nothing_is_a_number_that_people_can_read() -> None:
    analysis = record_imported([Imported(make_conversation(make_agent()), {"a": 1})], by=BY)[0]
    Analysis.objects.filter(pk=analysis.pk).update(cost=Decimal(0))
    analysis.refresh_from_db()

    assert AnalysisSchema.from_analysis(analysis).as_dict()["usage"]["cost"] == "0.00000000"


@pytest.mark.parametrize(
    ("value", "schema", "kind", "text"),
    [
        (True, {}, "yes_no", "Yes"),
        (0, {"minimum": 0, "maximum": 10}, "number", "0"),
        (1234.5, {}, "number", "1,234.5"),
        ("billing", {"enum": ["billing"]}, "word", "billing"),
        ("<b>", {}, "text", "<b>"),
        ({"a": [1]}, {}, "json", '{\n  "a": [\n    1\n  ]\n}'),
        ([{"a": 1}], {}, "json", '[\n  {\n    "a": 1\n  }\n]'),
    ],
)
def test_values_by_their_kind(value: Any, schema: dict[str, Any], kind: str, text: str) -> None:
    shown = value_of(value, schema)

    assert shown
    assert (shown.kind, shown.text) == (kind, text)


@pytest.mark.parametrize("value", [None, "", []])
def test_empty_values_are_none(value: Any) -> None:
    assert value_of(value) is None


def test_lists_are_chips() -> None:
    shown = value_of(["a", 2, True, None])

    assert shown
    assert shown.items == ("a", "2", "Yes", "\u2013")


def test_changed_fields_come_first_in_the_newer_order() -> None:
    conversation = make_conversation(make_agent())
    old = record_imported([Imported(conversation, {"a": 1, "gone": 2, "c": 3})], by=BY)[0]
    new = record_imported([Imported(conversation, {"z": 0, "a": 1, "c": 4})], by=BY)[0]

    found = changes_between(old, new)

    assert [(c.name, c.changed) for c in found] == [
        ("z", True),
        ("c", True),
        ("gone", True),
        ("a", False),
    ]


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        (HELLO, "I was charged twice in March."),
        ([{"role": "agent", "content": " Hello,\n you "}], "Hello, you"),
        ([{"role": "user", "content": "W" * 10_000}], "W" * 59 + "…"),
        ([{"role": "user", "content": "[noise]"}], ""),
        ([{"role": "tool_call", "content": "{}"}, {"role": "agent", "content": "Yes"}], "Yes"),
        ([], ""),
    ],
)
def test_the_first_words(messages: list[dict[str, Any]], words: str) -> None:
    assert first_words(messages) == words


@pytest.mark.parametrize(("channel", "kind"), [("voice", "Call"), ("chat", "Chat")])
def test_the_title_of_a_stranger(channel: str, kind: str) -> None:
    agent = make_agent(channel=channel)
    stranger = make_conversation(agent)
    assert title_of(stranger) == f"{kind}: I was charged twice in March."
    stranger.from_number = "+15550100"
    assert title_of(stranger) == "+15550100"
    assert title_of(make_conversation(agent, messages=[])) == f"{kind} without words"
