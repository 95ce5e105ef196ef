"""Bodies that are parsed strictly, and the sentences with which they are rejected."""

import contextlib
import enum
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from apps.core.errors import UserError
from apps.core.schemas import (
    AS_STORED,
    Body,
    Choice,
    InvalidValue,
    MissingField,
    OneOf,
    Percentage,
    Schema,
    Time,
    UnknownKeys,
    WholeNumber,
    eg,
)


class Channel(enum.StrEnum):
    VOICE = "voice"
    CHAT = "chat"


class Effects(Body):
    contacts: bool = True
    webhooks: Literal["off", "changed", "all"] = "off"


class ByCount(Body):
    count: Annotated[int, WholeNumber(1, 10_000, "calls")]


class ByShare(Body):
    percent: Annotated[float, Percentage(above_zero=True)]


class Wrong(UserError):
    code = "wrong"


class Order(Body):
    by_field = {"effects": Wrong}

    name: Annotated[str, Field(min_length=1, max_length=5)]
    channel: Annotated[Channel, Choice] = Channel.VOICE
    kind: Annotated[str, OneOf(("a", "b"))] | None = None
    many: Annotated[list[Annotated[Channel, Choice]], Field(max_length=2)] = []
    share: Annotated[float, Percentage()] = 100
    sample: ByCount | ByShare | None = None
    effects: Effects | None = None
    pairs: dict[str, str | list[str]] = {}


def parse(**body: Any) -> Order:
    return Order.parse({"name": "N", **body})


def test_a_valid_body_is_read() -> None:
    order = parse(channel="chat", kind="b", many=["voice"], share=5, sample={"count": 2.0})
    assert (order.channel, order.kind, order.many) == (Channel.CHAT, "b", [Channel.VOICE])
    assert (order.share, order.sample) == (5, ByCount(count=2))
    assert order.given().keys() == {"name", "channel", "kind", "many", "share", "sample"}


@pytest.mark.parametrize(
    ("body", "error", "path", "message"),
    [
        ({"nmae": 1}, UnknownKeys, "nmae", "Unknown key."),
        ({"name": None}, InvalidValue, "name", "name must be a string, not null."),
        ({"name": 5}, InvalidValue, "name", "name must be a string, not “5”."),
        ({"name": ""}, InvalidValue, "name", "name must not be empty."),
        ({"name": "x" * 6}, InvalidValue, "name", "name must have at most 5 characters."),
        (
            {"name": "\ud800"}, InvalidValue, "name",
            "name contains an invalid character (a lone surrogate), not “�”.",
        ),
        ({"channel": "fax"}, InvalidValue, "channel", "channel must be voice or chat, not “fax”."),
        ({"kind": "c"}, InvalidValue, "kind", "kind must be a or b, not “c”."),
        ({"many": "voice"}, InvalidValue, "many", "many must be a list, not “voice”."),
        ({"many": ["fax"]}, InvalidValue, "many.0", "many.0 must be voice or chat, not “fax”."),
        ({"many": ["voice"] * 3}, InvalidValue, "many", "many must have at most 2 items."),
        ({"share": "5"}, InvalidValue, "share", "share must be from 0 to 100 percent, not “5”."),
        (
            {"share": True}, InvalidValue, "share",
            "share must be from 0 to 100 percent, not “true”.",
        ),
        (
            {"share": 0.0001}, InvalidValue, "share",
            "share must have at most 3 decimal places, not “0.0001”.",
        ),
        (
            {"sample": {"count": 1.5}}, InvalidValue, "sample.count",
            "sample.count must be a whole number from 1 to 10,000 calls, not “1.5”.",
        ),
        (
            {"sample": {"percent": 0}}, InvalidValue, "sample.percent",
            "sample.percent must be more than 0 and at most 100 percent, not “0”.",
        ),
        ({"sample": 5}, InvalidValue, "sample", "sample must be an object, not “5”."),
        (
            {"effects": {"webhooks": "some"}}, Wrong, "effects.webhooks",
            "effects.webhooks must be one of off, changed, all, not “some”.",
        ),
        ({"effects": {"alerts": True}}, Wrong, "effects.alerts", "Unknown key."),
        (
            {"effects": {"contacts": "yes"}}, Wrong, "effects.contacts",
            "effects.contacts must be true or false, not “yes”.",
        ),
        ({"pairs": {"a": 5}}, InvalidValue, "pairs.a", "pairs.a must be a string, not “5”."),
    ],
)  # fmt: skip
def test_a_rejected_value_is_named_with_its_path(
    body: dict[str, Any], error: type[UserError], path: str, message: str
) -> None:
    with pytest.raises(error) as rejected:
        parse(**body)
    assert rejected.value.fields == {path: message}
    assert type(rejected.value) is error


def test_a_missing_field_is_required() -> None:
    with pytest.raises(MissingField, match=r"name is required\.") as rejected:
        Order.parse({})
    assert rejected.value.fields == {"name": "name is required."}


def test_one_message_names_all_problems_unknown_keys_first() -> None:
    with pytest.raises(UnknownKeys) as rejected:
        Order.parse({"name": "", "b": 1, "a": 2})
    assert rejected.value.message == (
        "Unknown keys: b, a. Expected: channel, effects, kind, many, name, pairs, sample, share. "
        "name must not be empty."
    )
    assert set(rejected.value.fields) == {"name", "a", "b"}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "sample", "count"]) | st.text(), inner)
    ),
    max_leaves=12,
)


@given(json_values)
def test_whatever_is_sent_is_read_or_rejected(value: object) -> None:
    bodies: list[object] = [value, *({"name": "N", name: value} for name in Order.model_fields)]
    for body in bodies:
        with contextlib.suppress(UserError):
            Order.parse(body)


def test_codes_of_a_body_are_those_that_it_may_be_rejected_with() -> None:
    assert Order.error_codes() == {"unknown_keys", "missing_field", "invalid_value", "wrong"}
    assert Effects.error_codes() == {"unknown_keys", "invalid_value"}


def test_a_schema_returns_what_was_set() -> None:
    class Row(Schema):
        at: Time
        schema_: Annotated[dict[str, Any], Field(alias="schema")]
        stored: Annotated[list[Effects], AS_STORED]
        total: int = 0

    at = datetime(2025, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    row = Row(at=at, schema_={"b": 1, "a": 2}, stored=[{"webhooks": 5}])  # type: ignore[list-item]

    assert row.at == datetime(2025, 1, 1, 10, tzinfo=UTC)
    shown = {"at": "2025-01-01T10:00:00Z", "schema": {"b": 1, "a": 2}, "stored": [{"webhooks": 5}]}
    assert json.loads(row.as_json()) == row.as_dict() == shown
    assert list(row.as_dict()["schema"]) == ["b", "a"]


def test_an_example_is_made_of_those_of_the_required_fields() -> None:
    class Inner(Schema):
        name: Annotated[str, eg("Ada")]

    class Outer(Schema):
        schema_: Annotated[dict[str, Any], Field(alias="schema"), eg({"a": 1})]
        inner: Inner
        many: list[Inner]
        nothing: Inner | None
        count: int
        total: int = 0

    assert Outer.get_example() == {
        "schema": {"a": 1},
        "inner": {"name": "Ada"},
        "many": [{"name": "Ada"}],
        "nothing": None,
        "count": 0,
    }
