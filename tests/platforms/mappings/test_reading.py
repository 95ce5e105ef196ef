"""Reading payloads: nothing that a platform may send raises anything but a refusal."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.conversations.inputs import LineRefused
from apps.intake.parser import read_conversation
from apps.platforms.registry import PLATFORMS

from . import examples

KINDS = {
    "retell": [examples.retell("call_analyzed"), examples.retell_chat()],
    "vapi": [examples.vapi(), examples.vapi("status-update", status="in-progress")],
    "elevenlabs": [examples.elevenlabs(), examples.failed_call()],
}
ODD: list[Any] = [None, True, 0, -1, 1.5, 10**400, 1e300, "", "x", "\0", "\udc00"]
ODD += [[], [[]], {}, {"a": {}}, [None]]


def paths(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield here
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from paths(value[key], (*here, key))


def changed(payload: Any, path: tuple[Any, ...], odd: Any, *, drop: bool) -> Any:
    if not path:
        return odd
    result = copy.deepcopy(payload)
    holder = result
    for key in path[:-1]:
        holder = holder[key]
    if drop:
        del holder[path[-1]]
    else:
        holder[path[-1]] = odd
    return result


def read(kind: str, payload: Any) -> None:
    try:
        arrived = PLATFORMS[kind].read(payload)
        assert isinstance(arrived.event, str)
        assert isinstance(arrived.external_id, str)
        if arrived.conversation is None:
            assert arrived.note
            return
        body = {**arrived.conversation, "analysis": arrived.platform_analysis}
        line = read_conversation(body, source=kind)
    except LineRefused:
        return
    assert line.external_id
    json.dumps(line.messages)


CASES = [
    (kind, payload, path)
    for kind, payloads in KINDS.items()
    for payload in payloads
    for path in paths(payload)
    if path
]


@pytest.mark.parametrize("kind", KINDS)
def test_any_one_thing_may_be_odd(kind: str) -> None:
    for _, payload, path in (case for case in CASES if case[0] == kind):
        read(kind, changed(payload, path, None, drop=True))
        for odd in ODD:
            read(kind, changed(payload, path, odd, drop=False))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_several_things_may_be_odd(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(sorted(KINDS)))
    payload = data.draw(st.sampled_from(KINDS[kind]))
    for _ in range(data.draw(st.integers(1, 6))):
        path = data.draw(st.sampled_from([p for p in paths(payload) if p] or [()]))
        odd = data.draw(
            st.sampled_from(ODD)
            | st.recursive(
                st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
                lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
                max_leaves=6,
            )
        )
        payload = changed(payload, path, odd, drop=data.draw(st.booleans()) and bool(path))
        if not isinstance(payload, dict):
            return
    read(kind, payload)


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("retell", {"event": "call_ended", "call": {}}),
        ("vapi", {"message": {"type": "end-of-call-report", "call": {}}}),
        ("elevenlabs", {"type": "post_call_transcription", "data": {}}),
    ],
)
def test_without_its_id_nobody_can_tell_which_it_is(kind: str, payload: dict[str, Any]) -> None:
    with pytest.raises(LineRefused, match="to identify the conversation"):
        PLATFORMS[kind].read(payload)


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("customer-did-not-answer", "not_connected"),
        ("call.start.error-get-phone-number", "not_connected"),
        ("call.in-progress.error-sip-outbound-call-failed-to-connect", "not_connected"),
        ("call.in-progress.error-vapifault-openai-voice-failed", "error"),
        ("silence-timed-out", "ended"),
    ],
)
def test_how_a_call_of_vapi_ended(reason: str, status: str) -> None:
    payload = examples.vapi(endedReason=reason, artifact={"messages": []})
    arrived = PLATFORMS["vapi"].read(payload)
    assert arrived.conversation is not None
    assert arrived.conversation["status"] == status
    assert arrived.platform_analysis is None  # nobody spoke: what was found is made up


def test_a_transcript_that_is_one_text() -> None:
    call = examples.retell(
        transcript_with_tool_calls=None, transcript="Agent: Hi\nUser: Bye\nand thanks\n"
    )
    arrived = PLATFORMS["retell"].read(call)
    assert arrived.conversation is not None
    assert arrived.conversation["messages"] == [
        {"role": "agent", "content": "Hi"},
        {"role": "user", "content": "Bye\nand thanks"},
    ]


@pytest.mark.parametrize(
    ("verdict", "values"),
    [
        ("true", {"call_successful": True}),
        (False, {"call_successful": False}),
        ("8", {"success_evaluation": "8"}),
    ],
)
def test_how_vapi_judges(verdict: Any, values: dict[str, Any]) -> None:
    arrived = PLATFORMS["vapi"].read(examples.vapi(analysis={"successEvaluation": verdict}))
    assert arrived.platform_analysis == {"mood": "calm", **values}
