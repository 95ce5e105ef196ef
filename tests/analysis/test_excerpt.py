"""Shortening a transcript: both ends stay, long messages are cut inside, the room is used."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.analysis.excerpt import beginning_and_end
from apps.llm.tokens import estimate_tokens

WORDS = ["word ", "Rechnung, ", "字", "שלום ", "😀", "\n  next line "]


def test_long_speech_between_two_short_messages_keeps_its_head_and_tail() -> None:
    speech = "FIRST " + "I was charged twice and nobody called me back. " * 2_000 + "LAST"

    excerpt = beginning_and_end(["agent: HELLO", f"user: {speech}", "agent: BYE"], 4_000)

    lines = excerpt.text.split("\n")
    assert [lines[0], lines[-1]] == ["agent: HELLO", "agent: BYE"]
    assert lines[1].startswith("user: FIRST I was charged")
    assert lines[1].endswith("called me back. LAST")
    assert " characters omitted …] " in lines[1]
    assert excerpt.messages == 3
    assert 0.8 * 4_000 < estimate_tokens(excerpt.text) <= 4_000


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("short", [True, False])
def test_long_messages_keep_both_ends_and_use_the_room(word: str, count: int, short: bool) -> None:
    lines = [f"user: FIRST{n} {word * 20_000}LAST{n}" for n in range(count)]
    if short:
        lines = ["agent: Good morning", *lines, "agent: Goodbye"]

    excerpt = beginning_and_end(lines, 3_000)

    assert excerpt.text.count("FIRST0") == 1
    assert excerpt.text.count(f"LAST{count - 1}") == 1
    assert excerpt.text.count("omitted …]") == {1: 1, 2: 2}.get(count, 3)
    assert 0.8 * 3_000 < estimate_tokens(excerpt.text) <= 3_000


def test_a_cut_message_still_names_who_spoke() -> None:
    lines = [f"{who}: {'never mind ' * 4_000}" for who in ("user", "agent", "user", "tool result")]

    kept = beginning_and_end(lines, 2_000).text.split("\n")

    assert kept[0].startswith("user: never mind")
    assert kept[1] == "[… 2 messages omitted …]"
    assert kept[2].startswith("tool result: [… ")


def test_one_omitted_message_is_singular() -> None:
    lines = [f"user: {'yes ' * 400}" for _ in range(3)]

    room = 2 * estimate_tokens(lines[0]) + 60

    assert "[… 1 message omitted …]" in beginning_and_end(lines, room).text


def test_marks_count_exactly_what_is_missing() -> None:
    lines = [f"user: {'x' * 50_000}"]

    text = beginning_and_end(lines, 1_000).text

    omitted = int(text.split("[… ")[1].split(" characters")[0].replace(",", ""))
    assert omitted == 50_000 - text.count("x")


@given(
    st.lists(st.text(min_size=1, max_size=3_000), min_size=1, max_size=8),
    st.integers(min_value=100, max_value=1_500),
)
def test_an_excerpt_of_any_text_fits(texts: list[str], room: int) -> None:
    lines = [f"user: {text}" for text in texts]
    if estimate_tokens("\n".join(lines)) <= room:
        return

    excerpt = beginning_and_end(lines, room)

    assert estimate_tokens(excerpt.text) <= room + 8
    assert " omitted …]" in excerpt.text
