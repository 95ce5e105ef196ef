"""Style sheets end what they begin: a browser drops the rest of a file without a complaint."""

import re
from pathlib import Path

import pytest
from django.conf import settings

STYLE_SHEETS = sorted((settings.BASE_DIR / "static").rglob("*.css"))
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


def problem_of(source: str) -> str:
    """Return what isn't ended in a style sheet, or an empty text."""
    if any("/*" in comment[2:] for comment in COMMENT.findall(source)):
        return "a comment that has another one inside"
    rules = COMMENT.sub("", source)
    if "/*" in rules:
        return "a comment without an end"
    return "" if rules.count("{") == rules.count("}") else "braces without a partner"


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("/* a */\n.b { color: red; } /* c */", ""),
        ("/* a\n.b { color: red; } /* c */", "a comment that has another one inside"),
        (".b { color: red; } /* a", "a comment without an end"),
        (".b { color: red; ", "braces without a partner"),
    ],
)
def test_problem_of(source: str, problem: str) -> None:
    assert problem_of(source) == problem


@pytest.mark.parametrize("path", STYLE_SHEETS, ids=lambda path: path.name)
def test_style_sheet_ends_what_it_begins(path: Path) -> None:
    assert problem_of(path.read_text()) == ""
