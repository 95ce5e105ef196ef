"""Lines as outside programs write them: strict in meaning, forgiving in form."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.conversations.inputs import LineRefused
from apps.intake.parser import read_conversation, read_line


def line(**values: Any) -> dict[str, Any]:
    return {"channel": "voice", "agent_id": "agt_x", "messages": [], **values}


def read(**values: Any) -> Any:
    return read_conversation(line(**values), source="import")


def refused(body: object) -> LineRefused:
    read: Any = read_line if isinstance(body, bytes) else read_conversation
    with pytest.raises(LineRefused) as caught:
        read(body, source="import")
    assert caught.value.message.endswith((".", "?", "}"))
    return caught.value


def test_the_least_and_the_most() -> None:
    least = read()
    assert (least.status, least.source, least.external_id) == ("ended", "import", "")
    whole = read(
        external_id="x",
        source="retell",
        agent_version=3,
        status="ongoing",
        language="de-AT",
        started_at="2025-01-31T14:00:00+01:00",
        duration_ms=61_000,
        direction="inbound",
        recording_url="HTTPS://example.com/A.mp3",
        contact={"phone_number": "+1 202 555 0134", "email": "Ada@Example.com"},
        messages=[{"role": "agent", "content": "Hello", "at": 1.5}],
        transfers=[{"after_message": 1, "to_agent_id": "agt_y"}],
        analysis={"call_summary": "s"},
    )
    assert whole.started_at.isoformat() == "2025-01-31T13:00:00+00:00"
    assert (whole.ended_at, whole.duration_ms) == (None, 61_000)
    assert whole.messages == [
        {"role": "agent", "content": "Hello", "at": "2025-01-31T13:00:01.500000+00:00"}
    ]
    assert whole.contact.phone_number == "+12025550134"
    assert whole.contact.email == "ada@example.com"
    assert whole.texts == {"disconnection_reason": "", "language": "de-AT"}
    assert whole.recording_url == "https://example.com/A.mp3"
    assert whole.transfers[0].setting == "only_destination_agent"


def test_the_end_follows_from_start_and_duration_once_it_has_ended() -> None:
    times = {"started_at": "2025-01-31T14:00:00+01:00", "duration_ms": 61_000}
    assert read(**times, status="ended").ended_at.isoformat() == "2025-01-31T13:01:01+00:00"
    assert read(**times, status="ongoing").ended_at is None


def test_another_form_of_a_line() -> None:
    corpus = read(
        id="sgd:1",
        source={"corpus": "SGD"},
        labels={"domain": "Coffee"},
        metadata={"kept": 1},
        started_at=None,
        messages=[
            {"role": role, "content": "x"}
            for role in ("assistant", "bot", "customer", "tool", "agent")
        ],
    )
    assert corpus.external_id == "sgd:1"
    assert corpus.source == "import"
    assert corpus.metadata == {
        "kept": 1,
        "labels": {"domain": "Coffee"},
        "source": {"corpus": "SGD"},
    }
    assert [m["role"] for m in corpus.messages] == [
        "agent",
        "agent",
        "user",
        "tool_result",
        "agent",
    ]


def test_nulls_and_oddities_pass() -> None:
    odd = read(
        metadata=None,
        contact=None,
        transfers=None,
        analysis=None,
        duration_ms=61_000.4,
        messages=[
            {"role": "user", "content": ""},
            {"role": "user", "content": None},
            {"role": "user"},
            {"role": "tool_result", "content": {"ok": True}},
            {"role": "user", "content": "a\x00b\ud800c", "at": None},
            {"role": "user", "content": "<b>\u202e👩‍👩‍👧\r"},
        ],
        **{"no\x00te": "\ud800"},
    )
    contents = [m["content"] for m in odd.messages]
    assert contents == ["", "", "", '{"ok": true}', "ab\ufffdc", "<b>\u202e👩‍👩‍👧\r"]
    assert odd.metadata == {"note": "\ufffd"}
    assert odd.duration_ms == 61_000


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"{", "not_json"),
        (b"\xff\xfe", "not_json"),
        (b"[" * 100_000, "not_json"),
        (b'{"metadata": NaN}', "not_json"),
        (b"[]", "not_an_object"),
        (b'"x"', "not_an_object"),
        (b"null", "not_an_object"),
        (b"{}", "missing_field"),
        (b'{"channel": "voice"}', "missing_field"),
    ],
)
def test_broken_lines(text: bytes, code: str) -> None:
    assert refused(text).code == code


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{broken", "Expecting property name enclosed in double quotes at character 2."),
        (b'{"a": "', "Unterminated string starting at character 7."),
    ],
)
def test_where_a_line_breaks_is_told_without_a_line_of_its_own(text: bytes, message: str) -> None:
    assert refused(text).message == f"This is not JSON: {message}"


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"channel": "fax"}, "“fax”"),
        ({"channel": ["voice"]}, "channel"),
        ({"status": "gone"}, "“gone”"),
        ({"direction": "up"}, "“up”"),
        ({"agent_version": "three"}, "“three”"),
        ({"agent_version": "-1"}, "“-1”"),
        ({"started_at": "1"}, "“1”"),
        ({"started_at": "45678.5"}, "“45678.5”"),
        ({"started_at": f"2026-01-31{' ' * 200_000}x"}, "“2026-01-31"),
        ({"started_at": "2026-01-31T14:00:00[Europe/Berlin]"}, "Berlin"),
        ({"agent_version": -1}, "“-1”"),
        ({"agent_version": 10**12}, "agent_version"),
        ({"duration_ms": -5}, "“-5”"),
        ({"duration_ms": True}, "duration_ms"),
        ({"started_at": "soon"}, "“soon”"),
        ({"started_at": 10**30}, "started_at"),
        ({"started_at": "0001-01-01T00:00:00Z"}, "out of range"),
        ({"started_at": "2025-02-30"}, "2025-02-30"),
        (
            {"started_at": "2025-01-02T00:00:00Z", "ended_at": "2025-01-01T00:00:00Z"},
            "before started_at",
        ),
        ({"recording_url": "javascript:alert(1)"}, "javascript"),
        ({"recording_url": "//example.com"}, "http"),
        ({"external_id": "x" * 301}, "300"),
        ({"external_id": {"a": 1}}, "external_id"),
        ({"language": "x" * 36}, "35"),
        ({"metadata": []}, "metadata"),
        ({"metadata": {"a": 1e400}}, "out of range"),
        ({"contact": "Ada"}, "contact"),
        ({"contact": {"email": "ada"}}, "“ada”"),
        ({"messages": "hello"}, "messages"),
        ({"messages": ["hello"]}, "messages[0]"),
        ({"messages": [{"role": "narrator", "content": "x"}]}, "“narrator”"),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "role"),
        ({"messages": [{"role": "user", "content": "x", "at": "noon"}]}, "“noon”"),
        ({"transfers": [{}]}, "to_agent_id"),
        ({"transfers": [{"to_agent_id": "a", "post_call_analysis_setting": "x"}]}, "“x”"),
        ({"analysis": "good"}, "analysis"),
    ],
)
def test_bad_values_are_refused_in_a_sentence(values: dict[str, Any], word: str) -> None:
    assert word in refused(line(**values)).message


@pytest.mark.parametrize(
    "spelled",
    [
        1769868000,
        1769868000000,
        1769868000000000,
        1769868000000000000,
        "1769868000",
        "1769868000000",
        "1769868000.0",
        "2026-01-31T14:00:00Z",
        "2026-01-31t14:00:00z",
        "2026-01-31 14:00:00 UTC",
        "2026-01-31T15:00:00+01:00[Europe/Berlin]",
        "2026-01-31T09:00:00\N{MINUS SIGN}05:00",
        "\u200e2026-01-31T14:00:00Z ",
        "Sat, 31 Jan 2026 14:00:00 GMT",
        "Sat, 31 Jan 2026 14:00:00 +0000",
        "31 Jan 2026 14:00:00 -0000",
    ],
)
def test_a_time_is_read_in_the_forms_of_other_programs(spelled: object) -> None:
    started = read(started_at=spelled).started_at
    assert started is not None
    assert started.isoformat() == "2026-01-31T14:00:00+00:00"


def test_numbers_are_read_from_digits_as_text() -> None:
    got = read(
        duration_ms="61000.0",
        agent_version="3",
        started_at=1769868000,
        messages=[{"role": "user", "content": "x", "at": "12.5"}],
    )
    assert (got.duration_ms, got.agent_version) == (61_000, 3)
    assert got.messages[0]["at"] == "2026-01-31T14:00:12.500000+00:00"
    assert read(duration_ms="").duration_ms is None


@pytest.mark.parametrize(
    ("role", "known"),
    [
        *(("User", "user"), ("ASSISTANT", "agent"), ("Bot", "agent"), ("caller", "user")),
        *(("transfer_target", "transfer"), ("tool_call_result", "tool_result")),
    ],
)
def test_a_role_is_known_by_its_names_at_other_places(role: str, known: str) -> None:
    assert read(messages=[{"role": role, "content": "x"}]).messages[0]["role"] == known


def test_depth_has_an_end() -> None:
    deep: Any = {}
    for _ in range(150):
        deep = {"a": deep}
    assert "deeper" in refused(line(metadata=deep)).message


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
_names = st.sampled_from(
    ["channel", "messages", "metadata", "contact", "transfers", "started_at", "status", "id"]
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(_names | st.text(max_size=8), _json, max_size=6))
def test_whatever_comes_is_read_or_refused(body: dict[str, Any]) -> None:
    try:
        read_conversation({"channel": "chat", "messages": [], **body}, source="import")
    except LineRefused as refusal:
        refusal.message.encode()  # a sentence that can be sent


@pytest.mark.parametrize(
    ("analysis", "says"),
    [
        (
            {"summary": "x" * 70_000},
            "analysis/summary: this has 70,000 characters; the maximum is 65,536.",
        ),
        (
            {f"field_{n}": "x" * 60_000 for n in range(10)},
            "analysis has 600,070 characters. The maximum is 524,288.",
        ),
        ({"amount": 10**400}, "analysis can't be stored: "),
    ],
    ids=["field", "whole", "number"],
)
def test_an_imported_result_has_the_limits_of_an_answer(
    analysis: dict[str, Any], says: str
) -> None:
    refusal = refused(line(analysis=analysis))
    assert refusal.code == "invalid_value"
    assert refusal.message.startswith(says)
    assert list(refusal.fields or {}) == ["analysis"]
