"""`manage.py import_conversations`: what it says, what it keeps, and how it ends."""

import gzip
import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from apps.analysis.models import Analysis
from apps.conversations.models import Conversation

pytestmark = pytest.mark.django_db

GOOD = {"channel": "voice", "messages": [{"role": "user", "content": "I was charged twice."}]}


def write(path: Path, good: int, bad: int) -> Path:
    lines = [json.dumps({**GOOD, "id": f"g{n}"}) for n in range(good)]
    lines += ["{not json"] * bad
    path.write_text("\n".join(lines))
    return path


def run(*files: Path) -> str:
    out = StringIO()
    call_command("import_conversations", *map(str, files), stdout=out, stderr=StringIO())
    return out.getvalue()


def test_some_refused_lines_are_no_failure(tmp_path: Path) -> None:
    said = run(write(tmp_path / "calls.jsonl", 3, 25))
    assert "3 accepted, 0 updated, 0 unchanged, 25 rejected" in said
    assert "3 to analyze" in said
    assert [f"line {n}:" in said for n in (4, 23, 24)] == [True, True, False]
    assert "and 5 more" in said
    kept = tmp_path / "calls.jsonl.refused.jsonl"
    assert f"all rejected lines and reasons: {kept}" in said
    assert len(kept.read_text().splitlines()) == 25
    assert Analysis.objects.count() == Conversation.objects.count() == 3


def test_nothing_but_refused_lines_is_one(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="every line was rejected"):
        run(write(tmp_path / "calls.jsonl", 0, 2))


def test_one_good_file_is_enough(tmp_path: Path) -> None:
    run(write(tmp_path / "bad.jsonl", 0, 2), write(tmp_path / "good.jsonl", 1, 0))


def test_what_is_there_already_counts_as_taken(tmp_path: Path) -> None:
    run(write(tmp_path / "calls.jsonl", 1, 0))
    said = run(write(tmp_path / "calls.jsonl", 1, 1))
    assert "0 accepted, 0 updated, 1 unchanged, 1 rejected" in said


def test_an_empty_file_is_none(tmp_path: Path) -> None:
    assert "0 accepted" in run(write(tmp_path / "calls.jsonl", 0, 0))


def test_a_file_that_breaks_off_keeps_what_it_brought(tmp_path: Path) -> None:
    whole = gzip.compress(write(tmp_path / "calls.jsonl", 300, 0).read_bytes())
    torn = tmp_path / "torn.jsonl.gz"
    torn.write_bytes(whole[:-20])
    with pytest.raises(CommandError, match="Some files couldn't be read"):
        run(torn)
    assert Conversation.objects.count() == Analysis.objects.count() == 200
