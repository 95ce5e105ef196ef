"""Runs that are stopped while their work is in flight, over a real runner and server."""

import time

import pytest

from apps.accounts.actors import Actor
from apps.llm.models import Usage
from apps.llm.specs import Priority
from apps.runs import control, services
from apps.runs.closing import close_finished
from apps.runs.models import Run, State
from apps.runs.options import Options
from tests.factories import make_agent, make_conversations, make_model
from tests.fakes.fixtures import FakeLLM
from tests.locks import Writer
from tests.runners import run_queue

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("fake_key")]

BY = Actor.system("tests")


def a_run(fake: FakeLLM, items: int) -> Run:
    model = make_model(base_url=fake.url, api_key_env="FAKE_API_KEY", max_output_tokens=4_096)
    make_conversations(make_agent(model=model), items)
    return services.start(channel="voice", params={}, options=Options(), by=BY)


def test_what_was_claimed_and_not_sent_is_not_paid_for_after_a_cancel(fake_llm: FakeLLM) -> None:
    run = a_run(fake_llm, 8)
    fake_llm.set(latency=4.0)
    runner = Writer(lambda: run_queue(Priority.BACKFILL, concurrency=2))
    while fake_llm.total < 2:
        time.sleep(0.05)
    control.cancel(run=run, by=BY)
    runner.join(timeout=30)
    close_finished()
    run.refresh_from_db()
    assert run.state == State.CANCELLED
    assert fake_llm.total == 2
    states = sorted(item.shown_state for item in run.items.all())
    assert states == ["done"] * 2 + ["skipped"] * 6


def test_a_request_that_was_paid_before_the_run_paused_is_in_the_ledger(
    fake_llm: FakeLLM,
) -> None:
    run = a_run(fake_llm, 1)
    fake_llm.script("length", "quota")
    run_queue(Priority.BACKFILL, concurrency=1)
    run.refresh_from_db()
    assert (run.state, run.reason) == (State.PAUSED, "quota")
    assert run.items.get().state == "pending"
    spent = Usage.objects.get()
    assert spent.backfill_id == run.public_id
    assert spent.output_tokens > 0
