"""OR groups: filters whose names begin with the same ``any1.`` to ``any9.``.

Of the filters of a group any has to match. Groups, and filters outside of them, all have to.
"""

import re
from collections.abc import Iterable
from typing import Final

from .values import shorten

GROUPS: Final = tuple(f"any{number}" for number in range(1, 10))
"""Names of OR groups: of the filters whose names begin with ``any1.``, any has to match."""

_LIKE_A_GROUP = re.compile(r"any\d{0,4}")
_IN_GROUP = re.compile(r"(any[1-9])\.(.+)", re.DOTALL)


def split_group(parameter: str) -> tuple[str, str]:
    """``any1.FIELD__OP`` as its OR group and the rest; the group is empty where there is none."""
    found = _IN_GROUP.fullmatch(parameter)
    return (found[1], found[2]) if found else ("", parameter)


def parameter_name(group: str, field: str, operator: str) -> str:
    """Return the name of a filter in a URL: ``FIELD``, ``FIELD__OP``, or ``any1.FIELD__OP``."""
    name = f"{field}__{operator}" if operator else field
    return f"{group}.{name}" if group else name


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
