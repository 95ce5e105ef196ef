"""CSV for spreadsheets: nothing runs, nothing is rounded, numbers and phone numbers stay."""

from decimal import Decimal
from typing import Any

import pytest

from apps.core.spreadsheets import cell, csv_lines, safe

FORMULAS = [
    *("=1", "+1", "@x", "\tx", "\rx", "\nx", "\x00x", "＝1", "＋1", "－1", "＠x"),
    *("﹦1", "﹢1", "﹣1", "﹫x", "⁺1", "\u202e=1", "\u200e=1", "\u00ad=1", "\x0b=1", "\x1f=1"),
    *("-2+3", "-cmd|' /C calc'!A0", "+1+1", "+1-555-0100", "- a list", "-", "+", "=", "--1"),
    *(" =1", "\u00a0=1", "\u200b=1", "\ufeff=1", "  @x", "+0155501000", "-1e5", "-1;=2"),
]
PLAIN = [
    "+15550100",
    "+493012345678",
    "-1",
    "-3.25",
    "-0.5",
    "a=1",
    "a+1",
    "1-2",
    "",
    " ",
    "12 = 12",
]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_gets_an_apostrophe(text: str) -> None:
    assert safe(text) == f"'{text}"
    assert cell([text, "b"]) == f"'{text}; b"


@pytest.mark.parametrize("text", PLAIN)
def test_text_that_is_no_formula_stays(text: str) -> None:
    assert safe(text) == text


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("123456789012345", "123456789012345"),
        ("1234567890123456", "'1234567890123456"),
        ("+1234567890123456", "'+1234567890123456"),
        ("1234567890123456.0", "'1234567890123456.0"),
        (1234567890123456, "'1234567890123456"),
        (-(10**16), "'-10000000000000000"),
        ("4111 1111 1111 1111", "4111 1111 1111 1111"),
        ("conv_1234567890123456", "conv_1234567890123456"),
        (Decimal("0.1234567890123456789"), "0.1234567890123456789"),
    ],
)
def test_digits_that_a_spreadsheet_would_round_are_kept(value: Any, written: str) -> None:
    assert cell(value) == written


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (Decimal("4.0E-7"), "0.0000004"),
        (Decimal("0.00000040"), "0.0000004"),
        (Decimal("0E-8"), "0"),
        (Decimal("1.50"), "1.5"),
        (Decimal("1E+2"), "100"),
        (4e-07, "0.0000004"),
        (-2.5, "-2.5"),
        (5.0, "5"),
        (0.1, "0.1"),
        (1e300, "1e+300"),
        (-1e300, "-1e+300"),
        (7, "7"),
        (-7, "-7"),
        (True, "true"),
        (None, ""),
    ],
)
def test_numbers_are_plain(value: Any, written: str) -> None:
    assert cell(value) == written


def test_the_file_begins_with_a_byte_order_mark() -> None:
    lines = list(csv_lines(["=a", "b"], [["x\ny", 'say "hi"']]))
    assert lines == ["\ufeff'=a,b\r\n", '"x\ny","say ""hi"""\r\n']
