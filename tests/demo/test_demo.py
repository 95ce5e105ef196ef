"""The demo loads whole at any moment, once, and opens on what is worth seeing."""

import re
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.core.management import call_command
from django.db.models import F, Sum, TextField
from django.db.models.functions import Cast
from django.test import Client
from django.utils import timezone

from apps.accounts.models import User
from apps.agents.models import Agent, AgentVersion
from apps.alerts.models import Incident
from apps.analysis.models import Analysis
from apps.conversations.models import Conversation, Transcript, Trigger
from apps.demo.loading import load_demo
from apps.follow_ups.models import FollowUp, FollowUpRule
from apps.insights.models import EmailReport
from apps.insights.weekly import weekly_report
from apps.llm.models import Usage
from apps.runs.models import Run, RunItem
from apps.webhooks.models import Delivery, Endpoint

pytestmark = pytest.mark.django_db

MOMENTS = [
    ("2028-02-29T00:05", "UTC"),  # a leap day, just after midnight
    ("2026-12-31T23:58", "Asia/Kathmandu"),  # two minutes to the next year
    ("2026-03-29T01:30", "Europe/Berlin"),  # half an hour before an hour is left out
    ("2026-11-01T01:30", "America/New_York"),  # an hour that comes twice
    # Much like those above.
    pytest.param("2027-01-31T23:50", "UTC", marks=pytest.mark.slow),
    pytest.param("2026-05-20T10:00", "Europe/Berlin", marks=pytest.mark.slow),
    pytest.param("2026-12-01T08:00", "America/New_York", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("moment", "zone"), MOMENTS)
def test_the_demo_at(moment: str, zone: str) -> None:
    with timezone.override(ZoneInfo(zone)):
        now = timezone.make_aware(datetime.fromisoformat(moment))
        agents, report = load_demo(now=now)
        assert agents == 4
        assert (report.accepted, report.refused, report.to_analyze) == (300, 0, 0)

        _days_are_within_the_last_sixty(now)
        _versions_were_published_before_their_conversations()
        _promised_days_are_dates()
        _past_results_cost_something(now)
        _two_backfills_ended_and_one_was_rolled_back(now)
        _follow_ups_are_open_done_and_overdue(now)
        _nothing_waits_to_be_sent(now)
        _an_incident_is_open(now)
        _billing_calls_have_a_score()
        _a_weekly_report_is_set_up(now)

        stored, counts = list(Conversation.objects.order_by("pk").values()), _counts()
        load_demo(now=now + timedelta(days=40))
        assert list(Conversation.objects.order_by("pk").values()) == stored
        assert _counts() == counts


def _counts() -> dict[str, int]:
    kinds = (Usage, Analysis, Run, RunItem, FollowUp, FollowUpRule, Endpoint, Delivery, Incident,
             EmailReport)  # fmt: skip
    return {kind.__name__: kind._default_manager.count() for kind in kinds}


def _days_are_within_the_last_sixty(now: datetime) -> None:
    conversations = Conversation.objects.filter(source="demo")
    assert not conversations.filter(started_at__gt=now).exists()
    assert not conversations.filter(ended_at__gt=now).exists()
    assert not conversations.filter(started_at__lt=now - timedelta(days=61)).exists()
    texts = Transcript.objects.annotate(text=Cast("messages", TextField()))
    assert not texts.filter(text__contains="{day").exists()


def _versions_were_published_before_their_conversations() -> None:
    for agent in Agent.objects.all():
        numbers = list(agent.versions.order_by("number").values_list("published_at", flat=True))
        published = [at for at in numbers if at]
        assert published == sorted(published)
        assert numbers[-1] is None
    for version in AgentVersion.objects.published():
        assert version.published_at is not None
        before_it = version.published_at - timedelta(days=1)
        handled = Conversation.objects.filter(agent_version=version)
        assert not handled.filter(started_at__lt=before_it).exists()


def _promised_days_are_dates() -> None:
    promised = Conversation.objects.filter(analysis_data__has_key="follow_up_date")
    values = [dict(given or {}) for given in promised.values_list("analysis_data", flat=True)]
    days = [date.fromisoformat(of["follow_up_date"]) for of in values if of["follow_up_date"]]
    assert len(days) > 20


def _past_results_cost_something(now: datetime) -> None:
    made = Analysis.objects.exclude(trigger=Trigger.RESTORED)
    assert made.filter(trigger=Trigger.IMPORTED).count() >= 240
    assert set(made.values_list("model", flat=True)) == {"gpt-4.1-mini"}
    assert not Usage.objects.filter(at__gt=now).exists()
    spent = Usage.objects.aggregate(spent=Sum("cost"))["spent"]
    assert spent == made.aggregate(spent=Sum("cost"))["spent"] > 0


def _two_backfills_ended_and_one_was_rolled_back(now: datetime) -> None:
    runs = {run.kind: run for run in Run.objects.order_by("-pk")}
    assert [run.kind for run in Run.objects.order_by("pk")] == ["backfill", "backfill", "rollback"]
    assert set(Run.objects.values_list("state", flat=True)) == {"completed"}
    first, undone = Run.objects.filter(kind="backfill").order_by("pk")
    assert runs["rollback"].of == undone
    for run in (first, undone, runs["rollback"]):
        assert run.created_at <= (run.finished_at or now) <= now
    counts = Counter(first.items.values_list("state", flat=True))
    assert counts["failed"] == 2
    assert counts["done"] == first.total - 2 > 50
    assert 15 < first.items.filter(changed=True).count() < 40
    late = RunItem.objects.filter(conversation__ended_at__gt=F("run__created_at"))
    assert not late.exists()
    restored = undone.items.filter(changed=True).values("conversation")
    for conversation in Conversation.objects.filter(pk__in=restored):
        results = conversation.analyses.order_by("pk")
        assert [a.trigger for a in results] == ["imported", "backfill", "restored"]
        assert conversation.analysis_data == results[0].output


def _follow_ups_are_open_done_and_overdue(now: datetime) -> None:
    assert FollowUp.objects.open().count() >= 5
    assert FollowUp.objects.done().count() >= 10
    assert FollowUp.objects.overdue(now).exists()
    assert not FollowUp.objects.filter(created_at__gt=now).exists()


def _nothing_waits_to_be_sent(now: datetime) -> None:
    assert not Endpoint.objects.filter(disabled_at=None).exists()
    states = Counter(Delivery.objects.values_list("state", flat=True))
    assert states == {"delivered": 23, "failed": 1}
    assert not Delivery.objects.filter(created_at__gt=now).exists()


def _billing_calls_have_a_score() -> None:
    scores = Analysis.objects.current().filter(output__has_key="call_quality")
    values = [dict(output or {}) for output in scores.values_list("output", flat=True)]
    assert len(values) > 50
    assert {value["call_quality_passed"] for value in values} == {True, False}


def _a_weekly_report_is_set_up(now: datetime) -> None:
    report = EmailReport.objects.get()
    assert now < report.due_at <= now + timedelta(days=8)
    weekly = weekly_report(report, now=now)
    assert weekly.worst


def _an_incident_is_open(now: datetime) -> None:
    incident = Incident.objects.get()
    assert incident.opened_at <= now
    assert incident.resolved_at is None


def test_histories_open_on_results_and_say_why_where_there_is_none() -> None:
    load_demo(now=datetime(2026, 5, 20, 10, tzinfo=UTC))
    client = Client()
    client.force_login(User.objects.create_user("ada", password="x", role="viewer"))
    for page, channel in (("/calls/", "voice"), ("/chats/", "chat")):
        newest = Conversation.objects.filter(channel=channel).order_by("-started_at")
        assert set(newest.values_list("analysis_state", flat=True)[:20]) == {"succeeded"}

        shown = client.get(f"{page}?analysis_state__ne=succeeded").content.decode()

        rows = re.findall(r"<tr title=.*?</tr>", shown, re.DOTALL)
        assert len(rows) >= 20
        without = [row for row in rows if not re.search(r"Not analy[sz]ed(: \w+| yet)", row)]
        assert not without, without


def test_costs_of_the_demo_are_shown() -> None:
    load_demo()
    client = Client()
    client.force_login(User.objects.create_user("ada", password="x", role="viewer"))

    page = client.get("/costs/").content.decode()

    assert "gpt-4.1-mini" in page
    assert "Billing line" in page


def test_the_command_takes_the_moment(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("load_demo", "--now", "2028-02-29T00:05")

    assert "4 agents and 300 conversations" in capsys.readouterr().out
    newest = Conversation.objects.order_by("-started_at").values_list("started_at", flat=True)[0]
    assert newest is not None
    assert newest < datetime(2028, 2, 29, 0, 5, tzinfo=UTC)
    assert newest > datetime(2028, 2, 27, tzinfo=UTC)
    assert not Analysis.objects.open().exists()  # a demo asks no model by itself
    conversations = Conversation.objects.filter(source="demo")
    assert conversations.filter(analysis_reason="not_connected").exists()
    assert conversations.filter(analysis_reason="not_ended").exists()
