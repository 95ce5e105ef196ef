"""Numbers that JSON can't carry, and decimals as people write them."""

import json

import pytest

from apps.llm.answer_text import parse_output
from apps.llm.numbers import TOO_LARGE, holds_too_large, is_multiple

LARGE = {
    "digits and .0": "1" + "0" * 400 + ".0",
    "digits and a fraction": "9" * 350 + ".25",
    "exponent": "1e400",
    "negative exponent form": "-1e999",
    "large E": "1E+309",
    "digits and exponent": "1" * 300 + "e10",
    "400 digits": "1" + "0" * 400,
    "5,000 digits": "7" * 5_000,
    "minus and 5,000 digits": "-" + "7" * 5_000,
    "just above the range": "1.8e308",
}


@pytest.mark.parametrize("number", LARGE.values(), ids=LARGE)
@pytest.mark.parametrize(
    "text", ['{"score": %s}', '{"a": {"b": [1, %s]}}', '{"a": [[%s]], "b": 2}']
)
def test_parse_output_rejects_numbers_beyond_the_range(number: str, text: str) -> None:
    message = parse_output(text.replace("%s", number))
    assert isinstance(message, str)
    assert TOO_LARGE in message
    assert "digits" not in message
    assert "sys." not in message


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e308", 1e308),
        ("-1.7976931348623157e308", -1.7976931348623157e308),
        ("1e-400", 0.0),
        ("0." + "1" * 500, 0.1111111111111111),
        ("123456789012345678901234567890", 123456789012345678901234567890),
        ("-0", 0),
        ("5.0", 5.0),
    ],
)
def test_parse_output_keeps_numbers_within_the_range(text: str, value: float) -> None:
    assert parse_output(f'{{"score": {text}}}') == {"score": value}


@pytest.mark.parametrize("value", [10**400, -(10**309), float("inf"), float("nan")])
def test_holds_too_large_looks_at_every_depth(value: float) -> None:
    assert holds_too_large({"a": [{"b": value}]})
    assert not holds_too_large({"a": [{"b": 10**300, "c": True, "d": None, "e": "1e999"}]})


@pytest.mark.parametrize(
    ("step", "multiples", "others"),
    [
        (0.1, [0.3, 0.7, 1.1, 0, 5, -0.3, 123456.7], [0.35, 0.01, 1e-9]),
        (0.01, [19.99, 4.35, 1.15, 0.07, 0.29, 1.0, 1e10], [1.001, 0.005, 19.999]),
        (0.001, [1.001, 2.675, 8.029], [1.0001]),
        (0.05, [0.15, 0.35, 2.65], [0.16, 0.33]),
        (0.25, [0.75, -2.5], [0.3]),
        (1e-8, [0.00000003, 12391239123], [3e-9]),
        (2.5, [10, 7.5, 1e300], [9]),
        (0.123456789, [0], [1e308]),
        (7, [21, 21.0, 7e300], [22, 21.5]),
        (1e-300, [1e308], []),
    ],
)
def test_is_multiple_uses_the_decimals_as_written(
    step: float, multiples: list[float], others: list[float]
) -> None:
    written = json.loads(json.dumps([multiples, others]))
    assert [v for v in written[0] if not is_multiple(v, step)] == []
    assert [v for v in written[1] if is_multiple(v, step)] == []
