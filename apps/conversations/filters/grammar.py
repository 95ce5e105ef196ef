"""The grammar of filters: which operators each kind of value takes, and how parameters are named.

A parameter is ``FIELD`` or ``FIELD__OP``. Those whose names begin with the same ``any1.`` to
``any9.`` are an OR group: of its filters any has to match. Groups, and filters outside of them,
all have to.
"""

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from .values import shorten


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


def isset_label(is_set: bool) -> str:  # noqa: FBT001 (the value of the filter)
    """Return how pages call the operator with its value."""
    return _LABELS["isset"] if is_set else "is not set"


def split_name(name: str) -> tuple[str, str]:
    """``FIELD__OP`` as field and operator.

    Names may contain ``__``: only a known operator after the last one counts.
    """
    field, separator, operator = name.rpartition("__")
    if separator and field and operator and operator in OPERATORS:
        return field, operator
    return name, IS


def parameter_name(group: str, field: str, operator: str) -> str:
    """Return the name of a filter in a URL: ``FIELD``, ``FIELD__OP``, or ``any1.FIELD__OP``."""
    name = f"{field}__{operator}" if operator else field
    return f"{group}.{name}" if group else name


GROUPS: Final = tuple(f"any{number}" for number in range(1, 10))
"""Names of OR groups."""

_LIKE_A_GROUP = re.compile(r"any\d{0,4}")
_IN_GROUP = re.compile(r"(any[1-9])\.(.+)", re.DOTALL)


def split_group(parameter: str) -> tuple[str, str]:
    """``any1.FIELD__OP`` as its OR group and the rest; the group is empty where there is none."""
    found = _IN_GROUP.fullmatch(parameter)
    return (found[1], found[2]) if found else ("", parameter)


def free_group(taken: Iterable[str]) -> str:
    """Return the first OR group that isn't taken, empty where all are."""
    used = set(taken)
    return next((group for group in GROUPS if group not in used), "")


def group_problem(parameter: str) -> str:
    """Return the message for a wrong OR group, as in ``any10.status`` or ``any1.q``; else empty."""
    head, _, rest = parameter.partition(".")
    if not _LIKE_A_GROUP.fullmatch(head):
        return ""
    if head not in GROUPS:
        return f"Unknown group {shorten(head)}. Groups are any1 to any9."
    if not rest:
        return f"The group {head} needs a field, such as {head}.status=ended."
    if rest in {"q", "sort", "columns"} or _LIKE_A_GROUP.fullmatch(rest.partition(".")[0]):
        return f"{shorten(rest)} can’t be in a group."
    return ""


def by_group(parameters: Iterable[str]) -> list[str]:
    """Return the parameters in their order, those of an OR group after the first of it."""
    found = list(parameters)
    first: dict[str, int] = {}
    for place, parameter in enumerate(found):
        first.setdefault(split_group(parameter)[0] or parameter, place)
    return sorted(found, key=lambda parameter: first[split_group(parameter)[0] or parameter])


def joined(parameters: Iterable[str]) -> list[tuple[str, bool]]:
    """Return the parameters by group, and whether each follows another of its group."""
    found = by_group(parameters)
    groups = [split_group(parameter)[0] for parameter in found]
    follows = [
        bool(group) and group == before
        for group, before in zip(groups, ["", *groups], strict=False)
    ]
    return list(zip(found, follows, strict=True))
