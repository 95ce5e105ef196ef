"""Tests on JSON columns. Keys and values travel as parameters, never as SQL.

Equality is containment, ``data @> '{"key": "value"}'``, which the GIN index serves; the rest is
a typed jsonpath, so that a value of another type does not match instead of failing a cast.
"""

import json
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from django.db.models import BooleanField, Expression, F, Func, TextField, Value

_EMPTY = """('null'::jsonb, '""'::jsonb, '[]'::jsonb, '{}'::jsonb)"""


class _Test(Func):
    """``column OPERATOR parameter::type`` as a condition."""

    template = "(%(expressions)s::%(cast)s)"
    output_field = BooleanField()

    def __init__(self, column: str, operator: str, parameter: str, cast: str) -> None:
        super().__init__(
            F(column),
            Value(parameter, output_field=TextField()),
            arg_joiner=f" {operator} ",
            cast=cast,
        )


class _PathExists(Func):
    """Whether a jsonpath finds anything.

    A function, not the operator: the index knows equality alone, and would be asked to list all
    rows that it has.
    """

    template = "jsonb_path_exists(%(expressions)s::jsonpath, '{}', TRUE)"
    output_field = BooleanField()

    def __init__(self, column: str, path: str) -> None:
        super().__init__(F(column), Value(path, output_field=TextField()))


class _HasValue(Func):
    """Whether a key holds anything but null and empty text, list or object."""

    template = f"COALESCE((%(expressions)s) NOT IN {_EMPTY}, FALSE)"
    output_field = BooleanField()
    arg_joiner = " -> "

    def __init__(self, column: str, key: str) -> None:
        super().__init__(F(column), Value(key, output_field=TextField()))


def contains(column: str, key: str, value: Any) -> Expression:
    """Whether the column's object has this value at the key; a list of it: among the values."""
    return _Test(column, "@>", f"{{{json.dumps(key)}: {_json(value)}}}", "jsonb")


def has_value(column: str, key: str) -> Expression:
    """Return whether the key is set: present, not null, and not empty."""
    return _HasValue(column, key)


def compares(column: str, key: str, operator: str, numbers: Sequence[Decimal]) -> Expression:
    """Return whether the key holds a number that is so to the given one (or two, for between)."""
    if operator == "between":
        test = f"@ >= {_number(numbers[0])} && @ <= {_number(numbers[1])}"
    else:
        test = f"@ {_COMPARISONS[operator]} {_number(numbers[0])}"
    return _path(column, key, f'@.type() == "number" && {test}')


def is_within(column: str, key: str, bounds: Sequence[tuple[str, str]]) -> Expression:
    """Whether the key holds a text within these bounds, each an operator (gt, gte, lt, lte) and a
    text. Texts compare by code point, as ISO 8601 is ordered."""
    tests = [f"@ {_COMPARISONS[name]} {json.dumps(bound)}" for name, bound in bounds]
    return _path(column, key, " && ".join(['@.type() == "string"', *tests]))


def reads(column: str, key: str, operator: str, text: str) -> Expression:
    """Whether the key holds a text that contains, starts or ends with this one, in any case."""
    pattern = re.escape(text)
    if operator == "startswith":
        pattern = f"^{pattern}"
    if operator == "endswith":
        pattern = f"{pattern}$"
    test = f'@.type() == "string" && @ like_regex {json.dumps(pattern, ensure_ascii=False)}'
    return _path(column, key, f'{test} flag "i"')


def candidates(raw: str, *, text: bool, number: bool, yes_no: bool) -> Iterable[Any]:
    """Return what JSON values a filter's text may represent, among the wanted types."""
    if text:
        yield raw
    if number and re.fullmatch(r"[+-]?\d{1,30}(\.\d{1,30})?([eE][+-]?\d{1,2})?", raw.strip()):
        yield Decimal(raw.strip())
    if yes_no and raw.strip().casefold() in {"true", "false"}:
        yield raw.strip().casefold() == "true"


_COMPARISONS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def _path(column: str, key: str, test: str) -> Expression:
    # strict: lax mode would look inside lists, and a list is not a number
    return _PathExists(column, f"strict ${_member(key)} ? ({test})")


def _member(key: str) -> str:
    """Return a key as jsonpath reads it: quoted by the rules of JSON strings."""
    return f".{json.dumps(key, ensure_ascii=False)}"


def _number(number: Decimal) -> str:
    return f"{number:f}"


def _json(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_json(item) for item in value)}]"
    return _number(value) if isinstance(value, Decimal) else json.dumps(value)
