"""First analyses that met an outage or a limit: they wait, and go on by themselves."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.actors import Actor
from apps.accounts.models import Role, User
from apps.analysis import recovery
from apps.analysis.auto_analysis import request_due, request_first
from apps.analysis.missing_reason import missing_result_reason
from apps.analysis.models import MOST_TRIES, Analysis, State
from apps.analysis.services import priorities_with_work, request_rerun
from apps.conversations.models import Conversation
from apps.core.display import timespan
from apps.llm.failed_request import RetryPolicy
from apps.llm.specs import Priority
from tests.factories import make_agent, make_conversations, make_model
from tests.fakes.fixtures import FakeLLM
from tests.runners import run_queue

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("fake_key")]

BY = Actor.system("tests")
NO_PATIENCE = RetryPolicy(attempts=2, first_delay=0.01, limit_patience=0.2)


def first_analyses(fake: FakeLLM, count: int) -> list[Conversation]:
    """Conversations whose first analyses wait for a runner."""
    model = make_model(base_url=fake.url, api_key_env="FAKE_API_KEY")
    made = make_conversations(make_agent(model=model), count)
    request_first(conversation_ids=[c.pk for c in made])
    return made


def work(priority: Priority = Priority.LIVE) -> None:
    run_queue(priority, concurrency=4, retry=NO_PATIENCE)


def shown() -> set[tuple[str, str]]:
    """State and reason of all conversations."""
    return set(Conversation.objects.values_list("analysis_state", "analysis_reason"))


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("503", "provider_error"),
        ("reset", "connection"),
        ("429", "rate_limited"),
        ("quota", "quota"),
        ("404", "provider_error"),
    ],
)
def test_what_waiting_can_help_waits_and_then_succeeds(
    fake_llm: FakeLLM, kind: str, code: str
) -> None:
    first_analyses(fake_llm, 3)
    fake_llm.always(kind)
    work()
    assert shown() == {("pending", "waiting_for_provider")}
    for analysis in Analysis.objects.all():
        assert (analysis.state, analysis.error_code, analysis.tries) == (State.PENDING, code, 1)
        assert analysis.not_before is not None
        assert analysis.not_before > timezone.now()
        assert analysis.waits_for_provider
    assert priorities_with_work() == []
    asked = fake_llm.total
    work()
    assert fake_llm.total == asked, "nothing is sent before its time"

    fake_llm.always("ok")
    # The first one that is due is answered, and takes the others along.
    Analysis.objects.filter(pk=Analysis.objects.order_by("pk")[0].pk).update(not_before=None)
    work()
    assert not Analysis.objects.filter(not_before__isnull=False).exists()
    work()
    assert shown() == {("succeeded", "")}
    assert Analysis.objects.count() == 3


@pytest.mark.parametrize(("kind", "code"), [("401", "auth"), ("refusal", "refusal")])
def test_what_waiting_cannot_help_fails_at_once(fake_llm: FakeLLM, kind: str, code: str) -> None:
    first_analyses(fake_llm, 2)
    fake_llm.always(kind)
    work()
    assert shown() == {("failed", code)}


def test_the_attempts_have_a_limit(fake_llm: FakeLLM) -> None:
    first_analyses(fake_llm, 1)
    fake_llm.always("503")
    Analysis.objects.update(tries=MOST_TRIES - 1)
    work()
    assert shown() == {("failed", "provider_error")}


def test_pauses_double_up_to_half_an_hour() -> None:
    pauses = [
        recovery.pause_before(n, first=15, longest=recovery.LONGEST_SECONDS)
        for n in range(1, MOST_TRIES)
    ]
    assert pauses[:4] == [15, 30, 60, 120]
    assert pauses[-1] == 1_800
    assert 8 * 3600 < sum(pauses) < 10 * 3600


def test_ten_minutes_of_outage_by_the_clock(fake_llm: FakeLLM) -> None:
    first_analyses(fake_llm, 2)
    fake_llm.always("503")
    passed = timedelta(0)
    for _ in range(20):
        work()
        waiting = Analysis.objects.filter(state=State.PENDING).order_by("not_before").first()
        if waiting is None:
            break
        assert waiting.not_before is not None
        step = max(waiting.not_before - timezone.now(), timedelta(0))
        passed += step
        if passed > timedelta(minutes=10):
            fake_llm.always("ok")
        for analysis in Analysis.objects.filter(not_before__isnull=False):
            assert analysis.not_before is not None
            Analysis.objects.filter(pk=analysis.pk).update(not_before=analysis.not_before - step)
    assert shown() == {("succeeded", "")}
    assert timedelta(minutes=10) < passed < timedelta(minutes=20)


def test_the_page_says_what_it_waits_for_and_when(fake_llm: FakeLLM) -> None:
    [conversation] = first_analyses(fake_llm, 1)
    fake_llm.always("503")
    work()
    conversation.refresh_from_db()
    Analysis.objects.update(tries=2, not_before=timezone.now() + timedelta(seconds=119.4))
    why = missing_result_reason(conversation, conversation.analyses.get())
    assert why.reason == "waiting_for_provider"
    assert "The engine is overloaded." in why.sentence
    assert f"Next attempt in {timespan(118)} (attempt 3 of 24)." in why.sentence


def test_a_rerun_takes_the_place_of_one_that_waits(fake_llm: FakeLLM) -> None:
    [conversation] = first_analyses(fake_llm, 1)
    fake_llm.always("503")
    work()
    rerun = request_rerun(conversation=conversation, by=BY)
    first = Analysis.objects.exclude(pk=rerun.pk).get()
    assert (first.state, first.error_code) == (State.FAILED, "provider_error")
    work(Priority.INTERACTIVE)
    assert shown() == {("failed", "provider_error")}, "a person waits: it fails now"


def test_one_click_retries_what_a_refused_key_failed(fake_llm: FakeLLM) -> None:
    first_analyses(fake_llm, 3)
    fake_llm.always("401")
    work()
    assert recovery.failed_for().count() == 3
    other = first_analyses(fake_llm, 1)
    fake_llm.always("refusal")
    work()
    fake_llm.always("ok")
    assert recovery.retry_first(by=BY) == 3
    request_due()
    work()
    assert Conversation.objects.filter(analysis_state="succeeded").count() == 3
    assert Conversation.objects.get(pk=other[0].pk).analysis_reason == "refusal"
    assert recovery.retry_first(by=BY) == 0


def test_one_click_also_tries_now_what_waits(fake_llm: FakeLLM) -> None:
    first_analyses(fake_llm, 2)
    fake_llm.always("quota")
    work()
    assert recovery.failed_for().count() == 0
    fake_llm.always("ok")
    assert recovery.retry_first(by=BY) == 2
    work()
    assert shown() == {("succeeded", "")}


def test_the_button_of_a_refused_key_retries_all(fake_llm: FakeLLM) -> None:
    conversation, *_ = first_analyses(fake_llm, 3)
    fake_llm.always("401")
    work()
    client = Client()
    client.force_login(User.objects.create_user("ada", role=Role.OPERATOR))
    page = client.get(f"/conversations/{conversation.public_id}/").content.decode()
    assert "Retry 3 failed first analyses" in page
    client.post(f"/conversations/{conversation.public_id}/retry/")
    fake_llm.always("ok")
    request_due()
    work()
    assert shown() == {("succeeded", "")}


def test_the_page_of_one_that_waits_offers_to_retry_now(fake_llm: FakeLLM) -> None:
    [conversation] = first_analyses(fake_llm, 1)
    fake_llm.always("503")
    work()
    client = Client()
    client.force_login(User.objects.create_user("ada", role=Role.OPERATOR))
    page = client.get(f"/conversations/{conversation.public_id}/").content.decode()
    assert "Waiting for the provider." in page
    assert "Retry now" in page
    listed = client.get("/calls/?analysis_reason=waiting_for_provider").content.decode()
    assert "Waiting for the provider" in listed
