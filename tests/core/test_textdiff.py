"""The difference of two texts."""

from hypothesis import given
from hypothesis import strategies as st

from apps.core import textdiff
from apps.core.textdiff import DiffLine, diff_lines

TEXTS = st.lists(st.sampled_from(["one two", "one three", "", "四 五", "six"]), max_size=12).map(
    "\n".join
)


def text(line: DiffLine) -> str:
    return "".join(piece.text for piece in line.pieces)


def test_equal_texts_have_no_difference() -> None:
    assert diff_lines("same", "same") == []


def test_words_of_an_edited_line_are_marked() -> None:
    removed, added = diff_lines("Write a 1-3 sentence summary.", "Write a 1-5 word summary.")
    assert [piece.text for piece in removed.pieces if piece.changed] == ["3", "sentence"]
    assert [piece.text for piece in added.pieces if piece.changed] == ["5", "word"]


def test_lines_with_nothing_in_common_are_not_marked() -> None:
    removed, added = diff_lines("alpha beta gamma", "一二三四五")
    assert not any(piece.changed for line in (removed, added) for piece in line.pieces)


def test_long_equal_stretches_are_folded() -> None:
    same = [f"line {number}" for number in range(20)]
    lines = diff_lines("\n".join(["old", *same]), "\n".join(["new", *same]))
    assert [line.kind for line in lines] == ["del", "add", "same", "same", "gap"]
    assert lines[-1].hidden == 18


def test_no_gap_for_a_single_line() -> None:
    lines = diff_lines("a\nb\nc\nd", "a\nb\nc\nx")
    assert [line.kind for line in lines] == ["same", "same", "same", "del", "add"]


def test_very_long_texts_are_compared_as_a_whole() -> None:
    long = "\n".join(map(str, range(textdiff.MAX_LINES + 1)))
    lines = diff_lines(long, long + "\nend")
    assert {line.kind for line in lines} == {"del", "add"}


@given(TEXTS, TEXTS)
def test_nothing_is_lost(before: str, after: str) -> None:
    lines = diff_lines(before, after)
    removed = [text(line) for line in lines if line.kind == "del"]
    added = [text(line) for line in lines if line.kind == "add"]
    hidden = sum(line.hidden for line in lines if line.kind == "gap")
    kept = hidden + sum(line.kind == "same" for line in lines)
    if before != after:
        assert kept + len(removed) == len(before.splitlines())
        assert kept + len(added) == len(after.splitlines())
