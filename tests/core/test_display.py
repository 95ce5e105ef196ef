"""Values as people read them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.core import display

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (12904, "12,904"),
        (-1234, "-1,234"),
        (3.0, "3"),
        (1204.5, "1,204.5"),
        (Decimal("0.125"), "0.12"),
        (None, display.NOTHING),
        ("", display.NOTHING),
        ("many", "many"),
        (True, "True"),
    ],
)
def test_number(value: object, shown: str) -> None:
    assert display.number(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("2.000000", "$2.00"),
        ("0.075000", "$0.075"),
        ("2.125000", "$2.125"),
        ("1200.000000", "$1,200.00"),
        ("0E-6", "$0.00"),
    ],
)
def test_a_price_per_million_tokens_has_all_its_digits(value: str, shown: str) -> None:
    assert display.rate(Decimal(value)) == shown


def test_an_unknown_price_per_million_tokens() -> None:
    assert display.rate(None) == display.NOTHING


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, display.NOTHING),
        (1204, "1,204"),
        (100_000, "100,000"),
        (999_999, "999,999"),
        (14_100_000, "14.1 M"),
        (2_000_000_000, "2 B"),
    ],
)
def test_compact(value: int | None, shown: str) -> None:
    assert display.compact(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "price unknown"),
        (0, "$0.00"),
        (Decimal("0.0007"), "$0.0007"),
        (Decimal("0.000684"), "$0.00068"),
        (Decimal("0.00000004"), "$0.00000004"),
        (0.004, "$0.004"),
        (0.5, "$0.50"),
        (Decimal("0.1234"), "$0.12"),
        (Decimal("0.999"), "$1.00"),
        (7.24, "$7.24"),
        (Decimal("1204.5"), "$1,204.50"),
        (Decimal("-0.0007"), "-$0.0007"),
    ],
)
def test_money(value: Decimal | float | None, shown: str) -> None:
    assert display.money(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "price unknown"),
        (0, "free"),
        (Decimal("0.00"), "free"),
        (Decimal("0.0007"), "$0.0007"),
    ],
)
def test_price(value: Decimal | int | None, shown: str) -> None:
    assert display.price(value) == shown


@given(st.decimals(min_value="0.00000001", max_value="1000000", places=8))
def test_money_is_never_shown_as_nothing(amount: Decimal) -> None:
    shown = Decimal(display.money(amount).removeprefix("$").replace(",", ""))
    assert shown > 0
    assert abs(shown - amount) <= max(Decimal("0.005"), amount * Decimal("0.05"))


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [
        (0, 10, "0%"),
        (1, 1000, "<1%"),
        (42, 100, "42%"),
        (999, 1000, ">99%"),
        (1000, 1000, "100%"),
        (5, 0, display.NOTHING),
        (None, 5, display.NOTHING),
    ],
)
def test_percent(part: int | None, whole: int, shown: str) -> None:
    assert display.percent(part, whole) == shown


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [
        (None, display.NOTHING),
        (0, "0:00"),
        (400, "0:00"),
        (221_000, "3:41"),
        (3_723_000, "1:02:03"),
    ],
)
def test_duration(milliseconds: int | None, shown: str) -> None:
    assert display.duration(milliseconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, display.NOTHING),
        (0, "0s"),
        (46, "46s"),
        (89.6, "2m"),
        (720, "12m"),
        (3900, "1h 5m"),
        (7200, "2h"),
        (timedelta(days=2, hours=3), "2d 3h"),
        (86_400, "1d"),
    ],
)
def test_timespan(seconds: float | timedelta | None, shown: str) -> None:
    assert display.timespan(seconds) == shown


@pytest.mark.parametrize(
    ("before", "shown"),
    [
        (timedelta(seconds=3), "just now"),
        (timedelta(seconds=-3), "just now"),
        (timedelta(seconds=59), "59s ago"),
        (timedelta(minutes=2, seconds=50), "2m ago"),
        (timedelta(hours=23), "23h ago"),
        (timedelta(days=6), "6d ago"),
        (timedelta(minutes=-5), "in 5m"),
        (timedelta(days=40), "Oct 12"),
        (timedelta(days=400), "Oct 17, 2025"),
    ],
)
def test_ago(before: timedelta, shown: str) -> None:
    assert display.ago(NOON - before, now=NOON) == shown


@pytest.mark.usefixtures("_in_utc")
def test_exact_time_names_its_zone() -> None:
    assert display.exact(NOON) == "Sat, Nov 21, 2026, 12:00:00 PM UTC"
    assert display.clock(NOON) == "12:00:00 PM"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("conv_7Jx2maQ9dkLz03Tt5WcYbe", "conv_7Jx2ma…"),
        ("conv_short", "conv_short"),
        ("3f9a51b2c7d8e9f0", "3f9a51…"),
    ],
)
def test_short_id(value: str, shown: str) -> None:
    assert display.short_id(value) == shown


def test_json_keeps_order_and_scripts() -> None:
    assert display.json_pretty({"b": "é", "a": [1]}) == '{\n  "b": "é",\n  "a": [\n    1\n  ]\n}'


@pytest.mark.parametrize(
    ("value", "kind", "word"),
    [
        (True, "ok", "Successful"),
        ("true", "ok", "Successful"),
        (False, "bad", "Unsuccessful"),
        ("Unsuccessful", "bad", "Unsuccessful"),
        ("resolved", "ok", "Resolved"),
        ("unresolved", "bad", "Unresolved"),
        ("follow_up", "", "Follow up"),
    ],
)
def test_outcome(value: object, kind: str, word: str) -> None:
    assert display.outcome(value) == (kind, word)


class TestSegments:
    def parts(self, **counts: int) -> list[dict[str, str]]:
        found = display.segments(counts, {}, legend=True)["parts"]
        assert isinstance(found, list)
        return found

    def test_widths_fill_the_bar_in_order(self) -> None:
        parts = self.parts(changed=25, unchanged=75)
        assert [(part["x"], part["width"]) for part in parts] == [
            ("0.00", "25.00"),
            ("25.00", "75.00"),
        ]

    def test_one_of_many_is_still_seen_within_the_bar(self) -> None:
        failed = self.parts(changed=100_000, failed=1)[1]
        assert float(failed["x"]) + float(failed["width"]) <= 100

    def test_nothing_yet(self) -> None:
        assert {part["width"] for part in self.parts(changed=0, left=0)} == {"0.00"}

    def test_is_told_to_screen_readers(self) -> None:
        spoken = display.segments({"changed": 1200, "left": 3}, {}, legend=False)["spoken"]
        assert spoken == "1,200 changed, 3 left"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is", "as it is"),
        (None, ""),
        (False, "no"),
        (5.0, "5"),
        (2.5, "2.5"),
        (1e300, "1e+300"),
        ([], ""),
        (["a", None, True], "a, yes"),
        ({}, ""),
        ({"topic": "refund", "none": None, "deep": {"n": [1, 2]}}, "topic: refund; deep: n: 1, 2"),
    ],
)
def test_any_json_on_one_line(value: object, text: str) -> None:
    assert display.one_line(value) == text
