"""A transcript as a person reads it."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.analysis import transcript
from apps.analysis.transcript import Moved, Scene, TranscriptLine, window

STARTED = datetime(2025, 3, 4, 9, 30, tzinfo=UTC)
CALL = Scene("voice", STARTED, "Dolores")

ROLES = ["agent", "user", "system", "tool_call", "tool_result", "transfer", "dtmf", "event", "?"]


def said(content: Any, role: str = "user", at: Any = None) -> dict[str, Any]:
    return {"role": role, "content": content, **({"at": at} if at is not None else {})}


def called(name: str, **arguments: Any) -> dict[str, Any]:
    return said(json.dumps({"name": name, "arguments": arguments}), "tool_call")


def answered(**values: Any) -> dict[str, Any]:
    return said(json.dumps(values), "tool_result")


def lines(messages: list[dict[str, Any]], scene: Scene = CALL) -> tuple[TranscriptLine, ...]:
    return window(messages, scene).lines


def test_speakers_are_named_once_in_a_row() -> None:
    found = lines([said("Hi", "agent"), said("Hello"), said("It's me"), said("Yes?", "agent")])

    assert [(x.who, x.same) for x in found] == [
        ("Agent", False),
        ("Dolores", False),
        ("Dolores", True),
        ("Agent", False),
    ]


def test_a_call_and_its_result_are_one_line() -> None:
    found = lines([called("look_up", id="LF-1"), answered(ok=True), said("Found it", "agent")])

    assert [x.kind for x in found] == ["tool", "agent"]
    assert found[0].text == "look_up(id: LF-1) → ok: true"
    assert [p.title for p in found[0].parts] == ["Arguments", "Result"]


def test_calls_at_once_find_their_results_in_order() -> None:
    found = lines([called("a"), called("b"), answered(of="a"), answered(of="b"), answered(x=1)])

    assert [x.text for x in found] == ["a() → of: a", "b() → of: b", "→ x: 1"]


def test_a_result_without_its_call_stands_alone() -> None:
    found = lines([answered(late=1), called("a"), said("…", "agent"), answered(of="a")])

    assert [x.text for x in found] == ["→ late: 1", "a()", "…", "→ of: a"]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ('{"function": {"name": "f", "arguments": "{\\"a\\": 1}"}}', "f(a: 1)"),
        ('{"name": "f", "input": {"a": 1}}', "f(a: 1)"),
        ("not json", "not json"),
        ('{"broken', '{"broken'),
        ("[" * 50_000, "[" * transcript.BRIEF),
        (None, ""),
    ],
)
def test_tool_calls_in_many_forms(content: Any, text: str) -> None:
    assert lines([said(content, "tool_call")])[0].text == text


@pytest.mark.usefixtures("_in_utc")
def test_times_of_calls_count_from_the_beginning_those_of_chats_are_of_the_day() -> None:
    message = said("Hi", at="2025-03-04T09:31:05+00:00")

    assert lines([message])[0].time == "1:05"
    assert lines([message], Scene("chat", STARTED))[0].time == "09:31"
    assert "2025" in lines([message])[0].exact


@pytest.mark.parametrize("at", [None, "", "soon", 12, {"a": 1}])
def test_a_time_that_cannot_be_read_is_left_out(at: Any) -> None:
    assert lines([said("Hi", at=at)])[0].time == ""


def test_transfers_stand_before_the_message_that_follows() -> None:
    scene = Scene("voice", STARTED, transfers=[Moved(1, "B", "Both"), Moved(99, "C", "Only")])
    found = lines([said("One"), said("Bridged", "transfer"), said("Two")], scene)

    assert [(x.kind, x.text, x.small) for x in found if x.kind == "transfer"] == [
        ("transfer", "B", "Both · Bridged"),
        ("transfer", "C", "Only"),
    ]
    assert [x.index for x in found] == [0, 1, 2, -1]


def test_events_keys_and_system_are_quiet_lines() -> None:
    found = lines([said("5", "dtmf"), said("silence", "event"), said("cut", "system")])

    assert {x.kind for x in found} == {"event"}
    assert [x.text for x in found] == ["Pressed 5", "silence", "System: cut"]


@given(
    st.lists(
        st.builds(said, st.text(max_size=40) | st.none(), st.sampled_from(ROLES)), max_size=30
    ),
    st.text(max_size=5),
    st.integers(0, 40),
    st.integers(0, 40),
)
def test_any_transcript_can_be_shown_and_searched(
    messages: list[dict[str, Any]], find: str, start: int, hit: int
) -> None:
    found = window(messages, CALL, start=start, find=find, hit=hit)

    assert 0 <= found.start <= found.stop <= len(messages) == found.total
    for line in found.lines:
        if find.strip():
            assert "<" not in str(line.text).replace("<mark>", "").replace("</mark>", "")
    spoken = [m for m in messages[found.start : found.stop] if m["role"] in {"agent", "user"}]
    assert len([x for x in found.lines if x.kind in {"agent", "user"}]) == len(spoken)


def test_windows_follow_each_other_without_a_gap() -> None:
    messages = [said("word " * 1_000) for _ in range(100)]
    start, seen = 0, 0
    while start < len(messages):
        found = window(messages, CALL, start=start)
        assert sum(len(x.text) for x in found.lines) <= transcript.WINDOW_CHARACTERS
        seen += len(found.lines)
        start = found.stop

    assert seen == 100
