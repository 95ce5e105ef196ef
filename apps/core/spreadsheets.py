"""Write CSV that a spreadsheet opens without running or changing the values."""

import csv
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.utils import timezone

BOM = "\ufeff"
"""Without it Excel reads UTF-8 as the encoding of the computer's region."""

_GUARD = "'"
_FORMULA = tuple("=+-@\t\r\n\x00")
#: A phone number in international form and a negative number begin like a formula and are none.
_HARMLESS = re.compile(r"\+[1-9][0-9]{6,14}|-[0-9]{1,15}(\.[0-9]+)?")
#: A spreadsheet keeps 15 digits of a number and turns the rest into zeros.
_ROUNDED = re.compile(r"\s*[+-]?[0-9]{16,}(\.[0-9]*)?\s*")
_LONGEST_PLAIN = 15


class _Echo:
    """A file whose ``write`` returns the text: the csv module needs a file."""

    def write(self, text: str) -> str:
        return text


def csv_lines(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    """Yield the lines of a CSV file: the byte order mark with the head, then a line per row."""
    writer = csv.writer(_Echo())
    yield BOM + writer.writerow([safe(name) for name in head])
    for row in rows:
        yield writer.writerow([cell(value) for value in row])


def cell(value: Any) -> str:
    """Return a value as text: times in ISO 8601 with their zone, lists and objects as JSON."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | Decimal):
        return _whole(plain_number(value))
    if isinstance(value, datetime):
        return timezone.localtime(value).isoformat()
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return safe("; ".join(value))
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return safe(str(value))


def plain_number(value: float | Decimal) -> str:
    """Return a number without exponent or needless zeros: `0.0000004`, `5`.

    Beyond 15 digits before the point a floating number keeps its exponent, which is shorter and
    says that the rest isn't known.
    """
    if isinstance(value, int):
        return str(value)
    exact = value if isinstance(value, Decimal) else Decimal(repr(value))
    if isinstance(value, float) and exact.adjusted() > _LONGEST_PLAIN:
        return repr(value)
    text = f"{exact:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def safe(text: str) -> str:
    """Return text that a spreadsheet shows unchanged (decision 0033).

    Text that it would run as a formula or round as a number gets an apostrophe in front.
    """
    if _begins_a_formula(text) and not _HARMLESS.fullmatch(text):
        return f"{_GUARD}{text}"
    return _whole(text)


def _begins_a_formula(text: str) -> bool:
    """Return whether the first character that a spreadsheet doesn't skip begins a formula.

    It skips blanks and marks that no one sees, and takes signs of other widths for the same.
    """
    for char in text:
        if char in _FORMULA:
            return True
        if char.isalnum() or not (char.isspace() or unicodedata.category(char) in {"Cf", "Cc"}):
            return not char.isascii() and unicodedata.normalize("NFKC", char)[0] in _FORMULA
    return False


def _whole(text: str) -> str:
    return f"{_GUARD}{text}" if _ROUNDED.fullmatch(text) else text
