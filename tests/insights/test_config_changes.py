"""Marks of changed prompts, fields, and models on the time axis."""

import pytest
from django.utils import timezone

from apps.agents import services
from apps.agents.models import Agent
from apps.insights.config_changes import changes_of
from tests.factories.drafts import ADA, TOPIC, agent, draft, language_model, with_fields

from .generated import scope_of

pytestmark = pytest.mark.django_db


def marks(query: str = "days=7") -> list[str]:
    return [f"{c.agent}: {c.what}" for c in changes_of(scope_of(query, now=timezone.now()))]


@pytest.fixture
def billing() -> Agent:
    made = agent("Billing line")
    services.save_draft(agent=made, changes=with_fields(topic=dict(TOPIC)), by=ADA)
    return made


def test_saved_drafts_say_what_changed(billing: Agent) -> None:
    services.save_draft(agent=billing, changes={"analysis": {"instructions": "Be kind."}}, by=ADA)
    language_model("other-model")
    services.save_draft(agent=billing, changes={"analysis": {"model": "other-model"}}, by=ADA)
    assert [mark for mark in marks() if "Draft saved" in mark] == [
        "Billing line: Draft saved: 1 field changed",
        "Billing line: Draft saved: 1 prompt changed",
        "Billing line: Draft saved: the model changed",
    ]


def test_saves_of_settings_alone_are_no_mark(billing: Agent) -> None:
    before = marks()
    services.save_draft(agent=billing, changes={"post_analysis": {"sample_percent": 50}}, by=ADA)
    assert marks() == before


def test_published_versions_are_marks_with_their_place(billing: Agent) -> None:
    services.publish(agent=billing, by=ADA, title="Kinder", note="")
    (published,) = [
        c for c in changes_of(scope_of("days=7", now=timezone.now())) if "published" in c.what
    ]
    assert (published.what, published.bucket) == ("V0 published: Kinder", 6)
    assert published.by == "Ada"
    assert draft(billing).number == 1


def test_marks_are_of_the_agents_and_the_period_that_are_shown(billing: Agent) -> None:
    other = agent("Sales line")
    assert marks(f"days=7&agent={other.public_id}") == []
    assert marks(f"days=7&agent={billing.public_id}")
    assert marks("from=2020-01-01&to=2020-01-31") == []
