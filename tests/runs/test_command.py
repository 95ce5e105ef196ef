"""``manage.py backfill``: what it prints, what it starts, how it ends."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from apps.agents.models import Agent
from apps.llm.client import LlmClient
from apps.runs.backfill_queue import BackfillQueue
from apps.runs.models import Run, State
from apps.work.runner import Runner
from tests.factories import make_agent, make_conversations, make_model
from tests.fakes.fixtures import FakeLLM

pytestmark = pytest.mark.django_db


@pytest.fixture
def agent() -> Agent:
    agent = make_agent(name="Billing line")
    make_conversations(agent, 4)
    make_conversations(agent, 1, status="not_connected")
    return agent


def run(*arguments: str, channel: str = "voice") -> str:
    out = StringIO()
    call_command("backfill", "--channel", channel, *arguments, stdout=out)
    return out.getvalue()


@contextmanager
def runner() -> Iterator[None]:
    """A runner at work in another thread, as a worker has it."""
    stop = threading.Event()

    async def work() -> None:
        client = LlmClient()
        while not stop.is_set():
            source = BackfillQueue()
            await Runner(queue=source, concurrency=4, idle=0.0).run(client)
            await asyncio.sleep(0.05)
        await client.aclose()

    def body() -> None:
        asyncio.run(work())
        connection.close()

    thread = threading.Thread(target=body)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=30)


def test_a_dry_run_prints_the_figures_and_starts_nothing(agent: Agent) -> None:
    said = run("--dry-run", "--filter", f"agent={agent.public_id}")
    assert "5 calls match." in said
    assert "1 can’t be analyzed: never connected" in said
    assert "4 with Billing line V0 draft (never published)" in said
    assert "4 to analyze as of " in said
    assert " tokens in, " in said
    assert "$0.0" in said
    assert not Run.objects.exists()


def test_it_starts_what_it_printed(agent: Agent) -> None:
    said = run("--filter", f"agent={agent.public_id}", "--filter", "status=ended")
    started = Run.objects.get()
    assert f"{started.public_id} started: 4 calls." in said
    assert started.filters == {"agent": [agent.public_id], "status": ["ended"]}
    assert started.created_by == "command backfill"


def test_no_filter_is_said_plainly(agent: Agent) -> None:
    assert "All 5 calls match: no filter is given." in run("--dry-run")


def test_the_same_name_twice_means_any_of(agent: Agent) -> None:
    said = run("--dry-run", "--filter", "status=ended", "--filter", "status=not_connected")
    assert "5 calls match." in said


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--filter", "nonsense=1"], "nonsense"),
        (["--filter", "duration_ms__gt=soon"], "soon"),
        (["--filter", "status__gt=ended"], "status"),
        (["--filter", "agent"], "NAME=VALUE"),
        (["--filter", "=x"], "NAME=VALUE"),
        (["--filter", "agent="], "agent"),
        (["--sample", "0"], "sample"),
        (["--sample", "1.5"], "1.5"),
        (["--sample", "lots"], "lots"),
        (["--sample", "101%"], "101"),
    ],
)
def test_what_it_does_not_understand_is_one_line_and_starts_nothing(
    agent: Agent, arguments: list[str], named: str
) -> None:
    with pytest.raises(CommandError) as refused:
        run(*arguments, "--yes")
    message = str(refused.value)
    assert named in message
    assert "\n" not in message
    assert refused.value.returncode == 1
    assert not Run.objects.exists()


def test_a_sample_by_number_and_by_share(agent: Agent) -> None:
    assert "2 to analyze" in run("--dry-run", "--sample", "2")
    assert "4 to analyze" in run("--dry-run", "--sample", "100%")


def test_nothing_to_analyse_says_why_and_is_no_failure(agent: Agent) -> None:
    assert "None of the 1 matching conversations" in run("--filter", "status=not_connected")
    assert "No conversations match" in run(channel="chat")
    assert not Run.objects.exists()


def test_what_has_the_result_is_skipped_unless_included(agent: Agent) -> None:
    config = agent.versions.get().config
    make_conversations(agent, 3, analysis_state="succeeded", analysis_config=config)
    assert "3 already up to date: skipped" in run("--dry-run")
    included = run("--dry-run", "--include-analyzed")
    assert "3 already up to date: analyzed again" in included
    assert "7 to analyze" in included


@pytest.mark.parametrize(
    ("reason", "words"), [("auth", "rejected the API key"), ("by_user", "user")]
)
def test_a_wait_ends_when_the_run_is_paused(agent: Agent, reason: str, words: str) -> None:
    run()
    Run.objects.update(state=State.PAUSED, reason=reason)
    with pytest.raises(CommandError, match=f"Paused: .*{words}"):
        run("--wait")
    assert Run.objects.count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("bad", [False, True])
def test_it_waits_until_all_is_done_and_fails_if_anything_did(
    fake_llm: FakeLLM, monkeypatch: pytest.MonkeyPatch, bad: bool
) -> None:
    monkeypatch.setenv("FAKE_API_KEY", "fake")
    model = make_model(base_url=fake_llm.url, api_key_env="FAKE_API_KEY")
    make_conversations(make_agent(model=model), 5)
    if bad:
        fake_llm.always("refusal")
    with runner():
        if bad:
            with pytest.raises(CommandError, match="refusal 5"):
                run("--wait", "--yes")
        else:
            assert "Completed: 5 done, 5 of them changed" in run("--wait", "--yes")
    assert Run.objects.get().state == State.COMPLETED
