"""Counts by place, and the groups of a breakdown with their links."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from apps.agents.models import Agent

from .scope import Params, Scope
from .statements import Counted

SHOWN = 12
"""Values, entries, and groups that statistics list."""


def by_place(rows: Iterable[Counted], value: str | None = None) -> dict[Any, int]:
    """Return counts by place, of one value where it is named."""
    found: defaultdict[Any, int] = defaultdict(int)
    for row in rows:
        if value is None or row.value == value:
            found[row.place] += row.n
    return dict(found)


def current(by_place: Mapping[Any, int]) -> int:
    return sum(n for place, n in by_place.items() if place != 0)


@dataclass(frozen=True, slots=True)
class Place:
    """A group of the breakdown: its place in the statement, and ``n`` conversations in it."""

    place: Any
    value: str
    label: str
    n: int
    url: str


def groups_of(scope: Scope, counts: Mapping[Any, int]) -> list[Place]:
    """Return the largest groups of the breakdown, the largest first."""
    by = scope.by
    assert by is not None
    largest = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))[:SHOWN]
    values = {place: _scalar(place) for place, _ in largest}
    labels = _agent_names(values.values()) if by.name == "agent" else dict(by.labels)
    found = []
    for place, n in largest:
        value = values[place]
        params: Params = {by.name: [value]} if value else {f"{by.name}__isset": ["false"]}
        label = labels.get(value, value) if value else "Not set"
        found.append(Place(place, value or "", label, n, scope.url(params)))
    return found


def _scalar(place: Any) -> str | None:
    """Return the value of a group as a filter writes it; None where there is none."""
    value = json.loads(place) if isinstance(place, str) else place
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None or isinstance(value, dict | list) else str(value)


def _agent_names(values: Iterable[str | None]) -> dict[str, str]:
    agents = Agent.objects.filter(public_id__in=[v for v in values if v]).order_by()
    return dict(agents.values_list("public_id", "name"))
