"""Real conversations in several languages, imported, analysed and backfilled.

They are not part of the project: `<project>/../shared/data`, or where DEBRIEF_DATA points.
"""

import gzip
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from django.db.models import Count

from apps.accounts.actors import Actor
from apps.agents.models import Agent
from apps.analysis.models import Analysis
from apps.conversations.models import Conversation
from apps.intake.services import ingest
from apps.llm.specs import Priority
from apps.runs.models import Run, State
from apps.runs.options import Options
from apps.runs.services import start
from tests.factories import edit_prompt, make_agent, make_model
from tests.fakes.fixtures import FakeLLM
from tests.runners import run_queue

PROJECT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("DEBRIEF_DATA") or PROJECT.parent / "shared" / "data")
FILES = sorted((FOLDER / "conversations").glob("*.jsonl.gz"))

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not FILES, reason=f"no conversations in {FOLDER}; set DEBRIEF_DATA"),
]

BY = Actor.system("tests")


@pytest.fixture
def agents(fake_llm: FakeLLM, monkeypatch: pytest.MonkeyPatch) -> dict[str, Agent]:
    """A voice and a chat agent on the fake server, with a context that meetings do not fit."""
    monkeypatch.setenv("FAKE_API_KEY", "fake")
    model = make_model(base_url=fake_llm.url, api_key_env="FAKE_API_KEY", context_tokens=16_000)
    return {c: make_agent(model=model, channel=c) for c in ("voice", "chat")}


def lines(per_file: int | None) -> Iterator[bytes]:
    for path in FILES:
        with gzip.open(path, "rb") as file:
            yield from islice(file, per_file)


def backfill_everything(agents: dict[str, Agent], per_file: int | None) -> list[Run]:
    """Import, analyse for the first time, edit the drafts, backfill both channels to the end."""
    report = ingest(lines=lines(per_file), by=BY, source="corpus", default_agents=agents)
    assert report.refused == 0, report.errors[:3]
    run_queue(Priority.LIVE, concurrency=32)
    for agent in agents.values():
        edit_prompt(agent, "Write a 1-5 word summary.")
    runs = [start(channel=channel, params={}, options=Options(), by=BY) for channel in agents]
    run_queue(Priority.BACKFILL, concurrency=32)
    return runs


def assert_every_one_has_ended(runs: list[Run], expected: int | None) -> None:
    """Each conversation is analysed by its draft, or says exactly why it is not."""
    for run in runs:
        run.refresh_from_db()
        assert run.state == State.COMPLETED
        assert not run.items.unfinished().exists()
        reasons = run.items.failed().order_by().values_list("error_code").annotate(Count("pk"))
        assert {code for code, _ in reasons} <= {"transcript_too_long"}
        assert not run.items.failed().filter(error_message="").exists()
        done = run.items.filter(state="done").values("conversation", "config")
        current = Analysis.objects.current()
        for item in done.iterator():
            assert current.filter(conversation=item["conversation"], config=item["config"]).exists()
    states = dict(
        Conversation.objects.order_by().values_list("analysis_state").annotate(Count("pk"))
    )
    assert set(states) <= {"succeeded", "failed", "skipped"}
    assert (
        not Conversation.objects.exclude(analysis_state="succeeded")
        .filter(analysis_reason="")
        .exists()
    )
    if expected is not None:
        assert sum(states.values()) == expected


def test_a_sample_of_every_file(agents: dict[str, Agent]) -> None:
    assert_every_one_has_ended(backfill_everything(agents, per_file=12), None)
    assert Conversation.objects.filter(analysis_reason="transcript_too_long").exists()


@pytest.mark.slow
def test_all_of_them(agents: dict[str, Agent]) -> None:
    assert_every_one_has_ended(backfill_everything(agents, per_file=None), 10_534)
