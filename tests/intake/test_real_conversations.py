"""Real conversations of several corpora, with every oddity that they have.

They are not part of the project: `<project>/../shared/data`, or where DEBRIEF_DATA points.
"""

import gzip
import json
import os
from collections import Counter
from collections.abc import Iterator
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from apps.accounts.actors import Actor
from apps.conversations.filters import matching
from apps.conversations.models import AnalysisState, Conversation, Transcript
from apps.intake.files import DefaultAgents
from apps.intake.services import ingest

PROJECT = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("DEBRIEF_DATA") or PROJECT.parent / "shared" / "data")
FILES = sorted((FOLDER / "conversations").glob("*.jsonl.gz"))

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(not FILES, reason=f"no conversations in {FOLDER}; set DEBRIEF_DATA"),
]

BY = Actor.system("tests")


def lines_of(path: Path) -> Iterator[bytes]:
    with gzip.open(path, "rb") as lines:
        yield from lines


def said(messages: list[dict[str, Any]]) -> list[str]:
    return [message["content"] or "" for message in messages]


def test_a_sample_of_every_file() -> None:
    agents = DefaultAgents("corpus", BY)
    lines = [line for path in FILES for line in islice(lines_of(path), 40)]
    report = ingest(lines=lines, by=BY, source="corpus", default_agents=agents)
    assert [error.message for error in report.errors] == []
    assert report.accepted == len(lines)
    stored = dict(Transcript.objects.values_list("conversation__external_id", "messages"))
    for line in lines:
        given = json.loads(line)
        assert said(stored[given["id"]]) == said(given["messages"])
    again = ingest(lines=lines, by=BY, source="corpus", default_agents=agents)
    assert again.unchanged == len(lines)


@pytest.mark.slow
def test_all_of_them(tmp_path: Path) -> None:
    out = StringIO()
    call_command("import_conversations", *(str(path) for path in FILES), stdout=out)
    assert "refused lines" not in out.getvalue()
    given = Counter(path.name for path in FILES for _ in lines_of(path))
    assert Conversation.objects.count() == given.total()
    states = set(Conversation.objects.values_list("analysis_state", "analysis_reason").distinct())
    assert (AnalysisState.NONE, "") not in states
    longest = Conversation.objects.order_by("-prompt_tokens_est").first()
    assert longest is not None
    assert longest.prompt_tokens_est > 20_000
    assert matching(channel="chat", params={"q": "北京"}).count() > 100
    assert matching(channel="chat", params={"language": "ja"}).count() == 158
    assert matching(channel="voice", params={"metadata.split__isset": False}).exists()
