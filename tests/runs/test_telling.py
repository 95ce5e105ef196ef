"""What a backfill tells webhooks: its results where asked, its end always."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from apps.accounts.actors import Actor
from apps.accounts.models import Role, User
from apps.analysis import record
from apps.analysis.claims import AnalysisJob
from apps.analysis.effects import SideEffects
from apps.analysis.model_call import AnalysisOutcome
from apps.analysis.models import Analysis
from apps.runs import control, services
from apps.runs.backfill_queue import BackfillQueue
from apps.runs.closing import close_finished
from apps.runs.models import Run
from apps.runs.options import Options
from apps.runs.presenters import option_words
from apps.webhooks.models import Delivery, Event, EventType
from tests.factories import make_agent, make_conversation, make_conversations
from tests.webhooks.deliveries import endpoint_to

pytestmark = pytest.mark.django_db

BY = Actor.system("tests")
SOURCE = BackfillQueue()
URL = "https://example.com/hook"


def start(webhooks: str = "off", **options: Any) -> Run:
    effects = SideEffects.model_validate({"webhooks": webhooks})
    chosen = Options(side_effects=effects, **options)
    return services.start(channel="voice", params={}, options=chosen, by=BY)


def good(job: AnalysisJob, summary: str) -> AnalysisOutcome:
    return AnalysisOutcome(job, output={"call_summary": summary}, requests=1)


def work(summary: str = "Short.") -> None:
    record.record([good(j, summary) for j in SOURCE.claim(10)], settle=SOURCE.settle)


def told(kind: EventType) -> list[dict[str, Any]]:
    rows = Event.objects.filter(type=kind).order_by("pk")
    return [json.loads(payload) for payload in rows.values_list("payload", flat=True)]


@pytest.mark.parametrize(("webhooks", "events"), [("off", 0), ("changed", 1), ("all", 2)])
def test_results_are_told_as_its_options_say(webhooks: str, events: int) -> None:
    conversations = make_conversations(make_agent(), 2)
    start()
    jobs = SOURCE.claim(2)
    record.record([good(jobs[0], "Old."), good(jobs[1], "Same.")], settle=SOURCE.settle)
    close_finished()
    endpoint_to(URL)

    start(webhooks, include_analyzed=True)
    work("Same.")

    analyses = Analysis.objects.filter(is_current=True)
    assert set(analyses.values_list("webhooks", flat=True)) == {webhooks}
    payloads = told(EventType.CONVERSATION_ANALYZED)
    assert len(payloads) == events
    assert {p["trigger"] for p in payloads} <= {"backfill"}
    if webhooks == "changed":
        assert payloads[0]["changed"] == ["call_summary"]
        assert payloads[0]["conversation_id"] in {c.public_id for c in conversations}


def test_its_end_is_told_once_with_the_figures() -> None:
    agent = make_agent()
    make_conversations(agent, 2)
    mine = endpoint_to(URL, EventType.BACKFILL_COMPLETED, agent=agent)
    endpoint_to(URL, EventType.BACKFILL_COMPLETED, agent=make_agent())
    everybody = endpoint_to(URL, EventType.BACKFILL_COMPLETED)
    run = start()
    close_finished()
    assert told(EventType.BACKFILL_COMPLETED) == []

    work()
    close_finished()
    close_finished()

    (payload,) = told(EventType.BACKFILL_COMPLETED)
    assert list(payload) == ["event", "backfill_id", "timestamp", "state", "backfill"]
    assert (payload["backfill_id"], payload["state"]) == (run.public_id, "completed")
    assert payload["backfill"]["counts"]["done"] == 2
    assert payload["backfill"]["options"]["side_effects"] == {"contacts": True, "webhooks": "off"}
    assert payload["backfill"]["finished_at"] == payload["timestamp"]
    assert payload["timestamp"].endswith("Z")
    assert set(Delivery.objects.values_list("endpoint", flat=True)) == {mine.pk, everybody.pk}


def test_a_run_of_several_agents_concerns_none_of_them_alone() -> None:
    agent = make_agent()
    endpoint_to(URL, EventType.BACKFILL_COMPLETED, agent=agent)
    for one in (agent, make_agent()):
        make_conversation(one)
    start()
    work()
    close_finished()
    assert told(EventType.BACKFILL_COMPLETED) == []


def test_one_that_was_cancelled_says_so() -> None:
    endpoint_to(URL)
    make_conversation(make_agent())
    control.cancel(run=start(), by=BY)
    assert [p["state"] for p in told(EventType.BACKFILL_COMPLETED)] == ["cancelled"]


def test_the_form_and_the_command_ask_for_it(client: Client) -> None:
    client.force_login(User.objects.create_user("ada", role=Role.OPERATOR))
    make_conversation(make_agent())
    form = client.get("/backfills/new/?channel=voice").text
    assert 'name="webhooks"' in form
    wrong = client.post("/backfills/new/", {"channel": "voice", "webhooks": "some"}).text
    assert "Webhooks must be off, changed, or all, not “some”." in wrong

    arguments = ["--channel=voice", "--webhooks=changed", "--yes"]
    call_command("backfill", *arguments, stdout=StringIO())

    run = Run.objects.get()
    assert run.options["side_effects"]["webhooks"] == "changed"
    assert option_words(run).endswith("webhooks: only changed results")
