"""Kinds of values and the operators that each takes."""

from enum import StrEnum
from typing import Final


class ValueKind(StrEnum):
    TEXT = "text"
    NUMBER = "number"
    TIME = "time"
    CHOICE = "choice"
    YES_NO = "yes_no"
    LIST = "list"
    ID = "id"
    OTHER = "other"
    """A nested object, say: one can only ask whether it is there."""


IS: Final = ""
"""The operator of a bare ``FIELD``: is, or any of."""

_ORDERED = (IS, "ne", "gt", "gte", "lt", "lte", "between", "isset")
OPERATORS_OF: Final[dict[ValueKind, tuple[str, ...]]] = {
    ValueKind.TEXT: (IS, "ne", "contains", "startswith", "endswith", "isset"),
    ValueKind.NUMBER: _ORDERED,
    ValueKind.TIME: _ORDERED,
    ValueKind.CHOICE: (IS, "ne", "isset"),
    ValueKind.YES_NO: (IS, "isset"),
    ValueKind.LIST: ("contains", "isset"),
    ValueKind.ID: (IS, "ne"),
    ValueKind.OTHER: ("isset",),
}
#: Every operator, in the order in which menus show them.
OPERATORS: Final = (
    IS, "ne", "contains", "startswith", "endswith", "gt", "gte", "lt", "lte", "between", "isset",
)  # fmt: skip

_LABELS = {
    IS: "is",
    "ne": "is not",
    "contains": "contains",
    "startswith": "starts with",
    "endswith": "ends with",
    "gt": ">",
    "gte": "≥",
    "lt": "<",
    "lte": "≤",
    "between": "between",
    "isset": "is set",
}
_TIME_LABELS = {"gt": "after", "gte": "from", "lt": "before", "lte": "until"}


def operators(kinds: tuple[ValueKind, ...]) -> tuple[str, ...]:
    """Return the union of what these kinds take, in menu order."""
    taken = {operator for kind in kinds for operator in OPERATORS_OF[kind]}
    return tuple(operator for operator in OPERATORS if operator in taken)


def operator_label(operator: str, kinds: tuple[ValueKind, ...]) -> str:
    """Return how pages call an operator: “after” for a time, “>” for a number."""
    if kinds == (ValueKind.TIME,) and operator in _TIME_LABELS:
        return _TIME_LABELS[operator]
    return _LABELS[operator]


def split_name(name: str) -> tuple[str, str]:
    """``FIELD__OP`` as field and operator.

    Names may contain ``__``: only a known operator after the last one counts.
    """
    field, separator, operator = name.rpartition("__")
    if separator and field and operator and operator in OPERATORS:
        return field, operator
    return name, IS
