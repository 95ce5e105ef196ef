"""Decision records are short and have the same parts."""

import re
from pathlib import Path

import pytest
from django.conf import settings

RECORDS = sorted((settings.BASE_DIR / "docs" / "decisions").glob("*.md"))
PARTS = ["Status", "Date", "Context", "Decision", "Alternatives", "Consequences"]
MOST_WORDS = 250


def test_numbers_are_unique() -> None:
    numbers = [path.name[:4] for path in RECORDS]
    assert len(numbers) == len(set(numbers)) > 0


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.name[:4])
def test_a_record_has_every_part_and_is_short(path: Path) -> None:
    text = path.read_text()
    assert re.match(rf"# {path.name[:4]} · [A-Z]", text), "Begin with “# NNNN · Title”."
    assert re.findall(r"\*\*(\w+)[.:]\*\* ?", text) == PARTS
    assert re.search(
        r"^\*\*Status:\*\* (?:accepted|superseded by \[\d{4}\]\([\w.-]+\.md\))\. "
        r"\*\*Date:\*\* \d{4}-\d\d-\d\d\.(?: \w.*\.)?$",
        text,
        re.MULTILINE,
    )
    assert len(text.split()) <= MOST_WORDS
