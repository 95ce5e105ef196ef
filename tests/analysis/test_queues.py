"""The runner over a real database and a real server of the OpenAI protocol."""

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta
from functools import partial

import pytest
from django.utils import timezone

from apps.accounts.actors import Actor
from apps.analysis.claims import AnalysisJob
from apps.analysis.models import Analysis, State
from apps.analysis.queues import RerunQueue
from apps.analysis.services import request_rerun
from apps.conversations.models import Conversation
from apps.llm.client import LlmClient
from apps.llm.models import Usage
from apps.llm.specs import Priority
from apps.work.host import Host
from apps.work.runner import Runner
from tests.factories import (
    edit_prompt,
    make_agent,
    make_conversation,
    make_conversations,
    make_model,
)
from tests.fakes.fixtures import FakeLLM
from tests.locks import Writer
from tests.runners import run_queue, run_source

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("fake_key")]

BY = Actor.system("tests")


def work(priority: Priority = Priority.INTERACTIVE) -> int:
    return run_queue(priority, concurrency=8)


def a_conversation(fake: FakeLLM) -> Conversation:
    model = make_model(base_url=fake.url, api_key_env="FAKE_API_KEY")
    return make_conversation(make_agent(model=model))


def test_a_rerun_becomes_the_current_result(fake_llm: FakeLLM) -> None:
    conversation = a_conversation(fake_llm)
    first = request_rerun(conversation=conversation, by=BY)
    assert work() == 1
    edit_prompt(conversation.agent, "Write a 1–5 word summary of the call.")
    second = request_rerun(conversation=conversation, by=BY)
    assert work() == 1
    first.refresh_from_db()
    second.refresh_from_db()
    conversation.refresh_from_db()
    assert (first.state, first.is_current) == (State.SUCCEEDED, False)
    assert (second.state, second.is_current) == (State.SUCCEEDED, True)
    assert first.config_id != second.config_id
    assert conversation.analysis_config_id == second.config_id
    assert second.output
    assert conversation.summary == second.output["call_summary"]
    assert conversation.analysis_trigger == "rerun"
    assert fake_llm.total == 2
    assert "Write a 1–5 word summary" in str(fake_llm.bodies[-1])
    assert Usage.objects.filter(analysis_id=second.public_id, cost__gt=0).count() == 1


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("refusal", "refusal"),
        ("empty", "empty_output"),
        ("content_filter", "content_filter"),
        ("length", "length"),
        ("not_json", "invalid_output"),
        ("401", "auth"),
        ("quota", "quota"),
    ],
)
def test_a_failure_keeps_the_old_result_and_says_why(
    fake_llm: FakeLLM, kind: str, code: str
) -> None:
    conversation = a_conversation(fake_llm)
    request_rerun(conversation=conversation, by=BY)
    work()
    before = Conversation.objects.values().get(pk=conversation.pk)
    fake_llm.always(kind)
    failed = request_rerun(conversation=conversation, by=BY)
    work()
    failed.refresh_from_db()
    assert (failed.state, failed.error_code, failed.is_current) == (State.FAILED, code, False)
    assert failed.error_message
    assert Conversation.objects.values().get(pk=conversation.pk) == before


def test_a_first_failure_shows_on_the_conversation(fake_llm: FakeLLM) -> None:
    conversation = a_conversation(fake_llm)
    fake_llm.always("refusal")
    request_rerun(conversation=conversation, by=BY)
    work()
    conversation.refresh_from_db()
    assert (conversation.analysis_state, conversation.analysis_reason) == ("failed", "refusal")


def test_an_engine_that_is_to_stop_hands_back_what_was_not_sent(fake_llm: FakeLLM) -> None:
    conversation = a_conversation(fake_llm)
    waiting = request_rerun(conversation=conversation, by=BY)
    assert run_queue(Priority.INTERACTIVE, stopping=lambda: True) == 0
    waiting.refresh_from_db()
    assert (waiting.state, waiting.attempts) == (State.PENDING, 0)
    assert fake_llm.total == 0


def test_what_does_not_answer_in_time_is_handed_back_at_a_stop(fake_llm: FakeLLM) -> None:
    conversation = a_conversation(fake_llm)
    waiting = request_rerun(conversation=conversation, by=BY)
    fake_llm.set(latency=30)
    begun = time.monotonic()

    def stopping() -> bool:
        return fake_llm.total > 0

    assert run_queue(Priority.INTERACTIVE, stopping=stopping, grace=0.5) == 0
    assert time.monotonic() - begun < 10
    waiting.refresh_from_db()
    assert waiting.state == State.PENDING


def test_a_transcript_that_does_not_fit_is_refused_without_a_request(fake_llm: FakeLLM) -> None:
    model = make_model(
        base_url=fake_llm.url,
        api_key_env="FAKE_API_KEY",
        context_tokens=2_000,
        max_output_tokens=700,
    )
    long = [{"role": "user", "content": "word " * 4_000}]
    conversation = make_conversation(make_agent(model=model), messages=long)
    refused = request_rerun(conversation=conversation, by=BY)
    work()
    refused.refresh_from_db()
    assert (refused.state, refused.error_code) == (State.FAILED, "transcript_too_long")
    assert fake_llm.total == 0
    assert Analysis.objects.open().count() == 0


def test_the_schema_takes_its_part_of_the_context(fake_llm: FakeLLM) -> None:
    """Alone the transcript fits; with a schema of many choices beside it, it does not."""
    model = make_model(
        base_url=fake_llm.url,
        api_key_env="FAKE_API_KEY",
        context_tokens=6_000,
        max_output_tokens=700,
    )
    choices = {"type": "string", "enum": [f"choice number {n}" for n in range(800)]}
    agent = make_agent(model=model, schema={"type": "object", "properties": {"x": choices}})
    long = [{"role": "user", "content": "word " * 2_000}]
    refused = request_rerun(conversation=make_conversation(agent, messages=long), by=BY)
    work()
    refused.refresh_from_db()
    assert refused.error_code == "transcript_too_long"
    assert fake_llm.total == 0


class Faulty(RerunQueue):
    """Breaks once a request is under way, as a fault in our own code would."""

    def __init__(self, fake: FakeLLM) -> None:
        super().__init__()
        self.fake = fake

    def claim(self, limit: int) -> list[AnalysisJob]:
        if self.fake.total:
            raise RuntimeError("broken")
        return super().claim(limit)


def test_a_fault_of_a_claim_loses_no_answer_in_flight(fake_llm: FakeLLM) -> None:
    conversation = a_conversation(fake_llm)
    request_rerun(conversation=conversation, by=BY)
    fake_llm.set(latency=1.0)
    with pytest.raises(RuntimeError, match="broken"):
        run_source(Faulty(fake_llm), idle=30.0)
    assert Analysis.objects.get().state == State.SUCCEEDED
    assert fake_llm.total == 1


def test_an_engine_does_not_claim_its_own_work_after_an_outage(fake_llm: FakeLLM) -> None:
    request_rerun(conversation=a_conversation(fake_llm), by=BY)
    source = RerunQueue()
    runner = Runner(queue=source, concurrency=4)
    [job] = runner._claim(4)
    runner._held[job.analysis_id] = job
    runner._beat_at -= 3_600
    Analysis.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert runner._claim(4) == []
    assert Analysis.objects.get().lease_token == job.token


def test_a_kick_is_heard_between_two_polls(
    fake_llm: FakeLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.work.runner.POLL_SECONDS", 30.0)
    conversation = a_conversation(fake_llm)
    client = LlmClient()
    runner = Runner(
        queue=RerunQueue(),
        concurrency=4,
        stopping=lambda: fake_llm.total > 0,
        idle=60.0,
    )

    async def work() -> None:
        await runner.run(client)
        await client.aclose()

    running = Writer(lambda: asyncio.run(work()))
    time.sleep(0.5)
    request_rerun(conversation=conversation, by=BY)
    runner.wake()
    until = time.monotonic() + 15
    while Analysis.objects.get().state != State.SUCCEEDED and time.monotonic() < until:
        time.sleep(0.05)
    assert Analysis.objects.get().state == State.SUCCEEDED
    runner.wake()  # to look up, and see that it is to end
    running.join(timeout=15)
    assert not running._thread.is_alive()


class WokenAtTheEnd(RerunQueue):
    """Is woken while its first runner ends: new work came a moment too late for it."""

    def __init__(self, host: Host) -> None:
        super().__init__()
        self.host = host
        self.claims = 0

    def claim(self, limit: int) -> list[AnalysisJob]:
        self.claims += 1
        return []

    def finished(self) -> None:
        if self.claims == 1:
            assert self.host.run(self) == 0


def test_work_that_comes_while_an_engine_ends_gets_another_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("apps.work.host.Runner", partial(Runner, idle=0.0))
    host = Host()
    source = WokenAtTheEnd(host)
    assert host.run(source) == 0
    assert source.claims == 2
    host.close()


class Stoppable(RerunQueue):
    """A queue whose work somebody stops once its first request is on its way."""

    def __init__(self, fake: FakeLLM) -> None:
        super().__init__()
        self.fake = fake
        self.stops = False

    def claim(self, limit: int) -> list[AnalysisJob]:
        return [] if self.stops else super().claim(limit)

    def stopped(self, jobs: Sequence[AnalysisJob]) -> list[AnalysisJob]:
        self.stops = self.stops or self.fake.total > 0
        return list(jobs) if self.stops else []


def narrow(fake: FakeLLM, how_many: int) -> None:
    """Reruns by a model that takes one request at a time and its time for it."""
    model = make_model(base_url=fake.url, api_key_env="FAKE_API_KEY", max_concurrency=1)
    for conversation in make_conversations(make_agent(model=model), how_many):
        request_rerun(conversation=conversation, by=BY)
    fake.set(latency=2.0)


def test_what_waits_for_its_turn_is_withdrawn_when_its_run_stops(
    fake_llm: FakeLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight slots hold eight jobs, and the model lets one through: seven were not sent."""
    monkeypatch.setattr("apps.work.runner.WATCH_SECONDS", 0.1)
    narrow(fake_llm, 8)
    assert run_source(Stoppable(fake_llm), concurrency=8) == 1
    assert fake_llm.total == 1
    states = list(Analysis.objects.order_by("state").values_list("state", "attempts"))
    assert states == [("pending", 0)] * 7 + [("succeeded", 1)]


def test_what_waits_for_its_turn_is_handed_back_at_a_stop(fake_llm: FakeLLM) -> None:
    narrow(fake_llm, 8)
    assert run_queue(Priority.INTERACTIVE, concurrency=8, stopping=lambda: fake_llm.total > 0) == 1
    assert fake_llm.total == 1
    assert Analysis.objects.filter(state=State.PENDING, attempts=0).count() == 7
