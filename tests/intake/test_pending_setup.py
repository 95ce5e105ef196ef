"""What waited for its agent to be set up is analysed once it is (decision 0011)."""

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.accounts.actors import Actor
from apps.accounts.models import AuditEntry
from apps.agents.models import Agent
from apps.agents.services import create_agent, save_draft
from apps.analysis.models import Analysis
from apps.conversations.models import Conversation
from apps.intake import lifecycle
from apps.intake.pending_setup import RECENTLY, release, release_recent
from apps.intake.services import ingest
from apps.intake.tasks import release as release_task

pytestmark = pytest.mark.django_db

BY = Actor.system("tests")


@pytest.fixture
def met() -> Agent:
    """An agent that a source met first."""
    return create_agent(name="Agent agent_9", channel="voice", by=BY, unconfigured=True)


def call(agent: Agent, external_id: str, **values: object) -> None:
    said = [{"role": "user", "content": "I was charged twice."}]
    line = {"channel": "voice", "external_id": external_id, "messages": said}
    report = ingest(lines=[line | {"agent_id": agent.public_id, **values}], by=BY)
    assert report.accepted == 1


def states() -> dict[str, tuple[str, str]]:
    rows = Conversation.objects.values_list("external_id", "analysis_state", "analysis_reason")
    return {name: (state, reason) for name, state, reason in rows}


def test_a_save_without_a_change_lets_what_waited_go_on(met: Agent) -> None:
    call(met, "a")
    call(met, "silent", messages=[])
    assert states() == {"a": ("skipped", "unconfigured"), "silent": ("skipped", "empty")}

    save_draft(agent=met, changes={}, by=BY)
    release_task(agent_id=met.public_id)
    lifecycle.sweep()

    assert states() == {"a": ("pending", ""), "silent": ("skipped", "empty")}
    assert Analysis.objects.get().trigger == "initial"
    assert release(agent=Agent.objects.get()) == 0


def test_settings_that_keep_it_from_an_analysis_are_heeded(met: Agent) -> None:
    call(met, "a")

    save_draft(agent=met, changes={"post_analysis": {"enabled": False}}, by=BY)
    assert release(agent=Agent.objects.get()) == 1
    lifecycle.sweep()

    assert states() == {"a": ("skipped", "disabled")}


def test_an_agent_that_is_still_not_set_up_keeps_them_waiting(met: Agent) -> None:
    call(met, "a")

    assert release(agent=met) == 0
    assert states() == {"a": ("skipped", "unconfigured")}


def test_a_call_that_was_transferred_to_it_goes_on_too(met: Agent) -> None:
    first = create_agent(name="Front desk", channel="voice", by=BY)
    call(first, "a", transfers=[{"after_message": 1, "to_agent_id": met.public_id}])
    assert states() == {"a": ("skipped", "unconfigured")}

    save_draft(agent=met, changes={}, by=BY)

    assert release(agent=Agent.objects.get(pk=met.pk)) == 1


def test_a_lost_message_is_made_up_for_within_hours(met: Agent) -> None:
    call(met, "a")
    save_draft(agent=met, changes={}, by=BY)
    set_up = AuditEntry.objects.get(verb="agent.configured").at

    assert release_recent(now=set_up + RECENTLY + timedelta(minutes=1)) == 0
    assert release_recent(now=timezone.now()) == 1
    assert release_recent(now=timezone.now()) == 0
