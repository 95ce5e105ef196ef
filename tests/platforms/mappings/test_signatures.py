"""Each platform's own scheme of signing: what it lets in, and what it must not."""

import hashlib
import hmac
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.platforms.adapter import BadSignature
from apps.platforms.registry import PLATFORMS

from .signing import KEY, in_base64, signed

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
BODY = '{"event": "call_ended", "words": "grüß"}'.encode()
KINDS = sorted(PLATFORMS)
WINDOW = {"retell": 300, "vapi": 300, "elevenlabs": 1800}


def verify(kind: str, headers: dict[str, str], body: bytes = BODY, key: str = KEY) -> None:
    lower = {name.lower(): value for name, value in headers.items()}
    PLATFORMS[kind].verify(key, lower, body, NOW)


def at(kind: str, seconds: float, body: bytes = BODY, key: str = KEY) -> dict[str, str]:
    return signed(kind, body, at=NOW.timestamp() + seconds, key=key)


@pytest.mark.parametrize("kind", KINDS)
def test_in_its_window_both_ways(kind: str) -> None:
    edge = WINDOW[kind]
    for seconds in (0, 1 - edge, edge - 1):
        verify(kind, at(kind, seconds))
    for seconds in (-edge - 2, edge + 2, -86_400, 10**9):
        with pytest.raises(BadSignature, match="minutes off"):
            verify(kind, at(kind, seconds))


@pytest.mark.parametrize("kind", KINDS)
def test_another_key_body_or_none(kind: str) -> None:
    good = at(kind, 0)
    for headers, body, key in (
        (good, BODY, "another"),
        (good, BODY + b" ", KEY),
        (good, b"", KEY),
        (at(kind, 0, key="another"), BODY, KEY),
        ({}, BODY, KEY),
    ):
        with pytest.raises(BadSignature) as refused:
            verify(kind, headers, body, key)
        assert refused.value.message.endswith(".")


@pytest.mark.parametrize(
    ("kind", "headers"),
    [
        ("retell", {"x-retell-signature": "v=,d="}),
        ("retell", {"x-retell-signature": f"v=1,d={'g' * 64}"}),
        ("retell", {"x-retell-signature": f"v={'9' * 400},d={'0' * 64}"}),
        ("retell", {"x-retell-signature": f"v=\u0661,d={'0' * 64}"}),
        ("elevenlabs", {"elevenlabs-signature": "t=now,v0=ü"}),
        ("elevenlabs", {"elevenlabs-signature": "t=1,v1=00"}),
        ("elevenlabs", {"elevenlabs-signature": "v0=00"}),
        ("elevenlabs", {"elevenlabs-signature": "t=1,v0=\udcff"}),
        ("vapi", {"x-vapi-secret": ""}),
        ("vapi", {"authorization": "Bearer "}),
        ("vapi", {"authorization": "Basic abc"}),
        ("vapi", {"x-signature": "00", "x-timestamp": "soon"}),
        ("vapi", {"x-signature": "\udcff"}),
    ],
)
def test_malformed_headers_are_one_refusal(kind: str, headers: dict[str, str]) -> None:
    with pytest.raises(BadSignature):
        verify(kind, headers)


@given(headers=st.dictionaries(st.sampled_from(["x-signature", "authorization"]), st.text()))
def test_no_header_breaks_it(headers: dict[str, str]) -> None:
    for kind in KINDS:
        names = PLATFORMS[kind].headers
        some = {name: next(iter(headers.values()), "") for name in names} | headers
        with pytest.raises(BadSignature):
            verify(kind, some)


@pytest.mark.parametrize(
    "headers",
    [
        {"x-vapi-secret": KEY},
        {"authorization": f"Bearer {KEY}"},
        {"authorization": KEY},
        {"x-vapi-signature": KEY},
        {"x-signature": hmac.new(KEY.encode(), BODY, hashlib.sha256).hexdigest()},
        {"x-vapi-signature": "sha256=" + hmac.new(KEY.encode(), BODY, hashlib.sha256).hexdigest()},
        {
            "x-signature": in_base64(BODY, str(int(NOW.timestamp()))),
            "x-timestamp": str(int(NOW.timestamp())),
        },
    ],
)
def test_each_way_in_which_vapi_can_be_set(headers: dict[str, str]) -> None:
    verify("vapi", headers)
    with pytest.raises(BadSignature):
        verify("vapi", headers, key="another")


def test_elevenlabs_may_sign_with_an_old_and_a_new_secret() -> None:
    name = "ElevenLabs-Signature"
    one, other = at("elevenlabs", 0)[name], at("elevenlabs", 0, key="old")[name]
    verify("elevenlabs", {name: f"{other},{one.partition(',')[2]}"})
