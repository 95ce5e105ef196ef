"""With what a conversation is read, also after the prompt builder has changed."""

import pytest

from apps.agents import plans, services
from apps.agents.documents import PROMPT_REVISION
from apps.agents.models import AnalysisConfig
from tests.factories.drafts import ADA, TOPIC, agent, draft, with_fields

pytestmark = pytest.mark.django_db


def test_what_nobody_saved_since_is_named_by_what_is_really_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = agent(**with_fields(topic=dict(TOPIC)))
    published = services.publish(agent=made, by=ADA)
    route = str(made.pk)
    before = plans.plans_for_routes([route])[route]
    assert before.config == draft(made).config
    known = AnalysisConfig.objects.count()

    monkeypatch.setattr("apps.agents.plans.PROMPT_REVISION", 99)
    after = plans.plans_for_routes([route])[route]
    assert after.config != before.config
    assert after.config.parsed() == after.document
    assert (before.document.revision, after.document.revision) == (PROMPT_REVISION, 99)
    assert after.document.own_fields() == before.document.own_fields()
    # A published version, whose row never changes, is named as truly; equal ones are one row.
    first = plans.plan_for_steps([("", published)])
    assert first.config == after.config
    assert first.version.config == before.config
    assert AnalysisConfig.objects.count() == known + 1


def test_a_chain_is_folded_from_the_present_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = agent("One"), agent("Two", **with_fields(topic=dict(TOPIC)))
    monkeypatch.setattr("apps.agents.plans.PROMPT_REVISION", 7)
    plan = plans.plans_for_routes([f"{one.pk}+{two.pk}"])[f"{one.pk}+{two.pk}"]
    assert plan.document.revision == 7
    assert plan.version.agent == two
