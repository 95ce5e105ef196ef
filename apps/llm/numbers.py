"""Numbers of JSON as PostgreSQL, other programs and exact arithmetic can take them.

Python reads integers of any length and turns other large numbers into infinity. Neither can be
passed on: a JSON reader elsewhere holds numbers in 64 bits.
"""

from __future__ import annotations

from fractions import Fraction
from sys import float_info

TOO_LARGE = "a number is too large for JSON"

_LARGEST = float_info.max
_DIGITS = 310


class NumberTooLargeError(ValueError):
    """A JSON text holds a number beyond the range of a 64-bit float."""

    def __init__(self) -> None:
        super().__init__(TOO_LARGE)


def parse_int(text: str) -> int:
    """Return an integer of a JSON text. Raises ``NumberTooLargeError``."""
    if len(text) > _DIGITS or is_too_large(value := int(text)):
        raise NumberTooLargeError
    return value


def parse_float(text: str) -> float:
    """Return a fraction or a number with an exponent. Raises ``NumberTooLargeError``."""
    value = float(text)
    if is_too_large(value):
        raise NumberTooLargeError
    return value


def is_too_large(value: object) -> bool:
    """Return whether a value is a number that JSON readers can't hold (or no number at all)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return not -_LARGEST <= value <= _LARGEST


def holds_too_large(value: object) -> bool:
    """Return whether such a number is anywhere in a JSON value."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
        elif is_too_large(item):
            return True
    return False


def is_multiple(value: float, step: float) -> bool:
    """Return whether ``value`` is a multiple of ``step``, both read as the decimals they print as.

    In binary 0.3 isn't a multiple of 0.1; in the decimals that people write it is.
    """
    return not exact(value) % exact(step)


def exact(value: float) -> Fraction:
    """Return a number as the decimal that it is written as."""
    return Fraction(value) if isinstance(value, int) else Fraction(repr(value))
