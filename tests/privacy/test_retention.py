"""What an agent no longer keeps goes by itself; nothing else does."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import settings

from apps.accounts.actors import Actor
from apps.accounts.models import AuditEntry
from apps.agents.models import Agent
from apps.agents.services import publish, restore_save, save_draft
from apps.conversations.models import Conversation
from apps.intake.models import Erased
from apps.platforms.models import IntakePayload
from apps.privacy import retention
from apps.privacy.tasks import purge as purge_task
from config.celery import app
from tests.factories import make_agent, make_conversation

pytestmark = pytest.mark.django_db

BY = Actor.system("tests")
NOW = datetime(2025, 6, 30, 12, tzinfo=UTC)


def ago(**time: float) -> datetime:
    return NOW - timedelta(**time)


def keep(agent: Agent, days: int | None) -> None:
    save_draft(agent=agent, changes={"post_analysis": {"retention_days": days}}, by=BY)


def a_call(agent: Agent, *, days: float, **values: Any) -> Conversation:
    at = ago(days=days)
    values = {"started_at": at, "ended_at": at, "sort_at": at, **values}
    return make_conversation(agent, **values)


def left() -> set[str]:
    return set(Conversation.objects.values_list("external_id", flat=True))


def test_an_agent_without_the_setting_keeps_everything() -> None:
    a_call(make_agent(), days=4000)
    assert retention.purge(now=NOW) == 0
    assert Conversation.objects.count() == 1


def test_what_is_older_goes_and_is_written_down() -> None:
    agent, other = make_agent(retention_days=30), make_agent(retention_days=60)
    a_call(agent, days=30.01, external_id="old")
    a_call(agent, days=29.99, external_id="young")
    a_call(other, days=40, external_id="kept longer")
    assert retention.purge(now=NOW) == 1
    assert left() == {"young", "kept longer"}
    entry = AuditEntry.objects.get(verb="conversation.erased")
    assert (entry.who, entry.via) == ("system: retention", "system")
    assert entry.detail == {"why": f"{agent.public_id} keeps conversations for 30 days"}
    assert retention.purge(now=NOW) == 0


@pytest.mark.parametrize(
    ("values", "stays"),
    [
        ({"status": "ongoing", "ended_at": None, "last_message_at": ago(days=1)}, True),
        ({"status": "ongoing", "ended_at": None, "last_message_at": ago(days=31)}, False),
        ({"status": "registered", "ended_at": None}, False),
        ({"ended_at": ago(days=29)}, True),  # a long one: it counts from its end
    ],
)
def test_days_count_from_the_last_sign_of_life(values: dict[str, Any], stays: bool) -> None:
    a_call(make_agent(retention_days=30), days=90, **values)
    retention.purge(now=NOW)
    assert Conversation.objects.exists() is stays


def test_the_latest_published_version_counts_and_the_draft_before_there_is_one() -> None:
    agent = make_agent()
    a_call(agent, days=50)
    keep(agent, 100)
    assert retention.retention_of(agent) == 100
    publish(agent=agent, by=BY)
    keep(agent, 30)  # in the draft alone
    assert retention.retention_of(agent) == 100
    assert retention.purge(now=NOW) == 0
    publish(agent=agent, by=BY)
    assert retention.retention_of(agent) == 30
    assert retention.purge(now=NOW) == 1
    keep(agent, None)
    publish(agent=agent, by=BY)
    assert retention.retention_of(agent) is None


def test_bringing_old_prompts_back_brings_no_erasing_back() -> None:
    agent = make_agent()
    keep(agent, 30)
    publish(agent=agent, by=BY)
    keep(agent, None)
    restore_save(agent=agent, by=BY, version=0)
    assert agent.versions.drafts().get().retention_days is None


def test_a_purge_that_was_cut_short_is_gone_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "AT_ONCE", 2)
    agent = make_agent(retention_days=30)
    for days in (33, 32, 31):
        a_call(agent, days=days, external_id=f"{days}")
    assert retention.purge(now=NOW) == 2
    assert left() == {"31"}
    assert retention.purge(now=NOW) == 1


def test_refused_payloads_and_hashes_of_erasures_are_kept_for_a_time() -> None:
    agent = make_agent(retention_days=30)
    a_call(agent, days=31)
    for days in (89, 91):
        kept = IntakePayload.objects.create(
            upload_channel="api", source_name="api", state="refused", reason="No.", raw=b"{"
        )
        IntakePayload.objects.filter(pk=kept.pk).update(received_at=ago(days=days))
    retention.purge(now=NOW)
    assert IntakePayload.objects.count() == 1
    Erased.objects.update(at=ago(days=91))
    retention.purge(now=NOW)
    assert not Erased.objects.exists()


def test_it_is_on_the_schedule() -> None:
    entry = app.conf.beat_schedule["privacy.purge"]
    assert (entry["task"], entry["schedule"]) == ("privacy.purge", 3600.0)
    assert entry["options"]["queue"] == "maintenance"
    a_call(make_agent(retention_days=1), days=10)
    assert settings.USE_TZ
    purge_task()
    assert not Conversation.objects.exists()
