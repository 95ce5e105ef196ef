"""Filters on dates and times in a JSON column, stored as ISO 8601 text."""

from collections.abc import Sequence
from datetime import UTC, datetime

from django.db.models import Q
from django.utils import timezone

from . import jsonb, values
from .conditions import any_of, wanted
from .operators import IS
from .values import FilterMoment

Bounds = list[tuple[str, str]]


class JsonMoment:
    """A key that holds a date (``2026-11-28``) or a time in UTC (``2026-11-28T14:03:22Z``)."""

    def __init__(self, column: str, key: str, *, days: bool) -> None:
        self.column = column
        self.key = key
        self.bounds = _of_days if days else _of_times

    def condition(self, operator: str, raw: Sequence[str]) -> Q:
        """The rows that the operator and its values ask for. Raises BadValueError."""
        if operator == "isset":
            found = Q(jsonb.has_value(self.column, self.key))
            return found if wanted(raw) else ~found
        read = [values.read_moments(operator, item) for item in raw]
        asked = IS if operator == "ne" else operator
        tests = [
            Q(jsonb.is_within(self.column, self.key, self.bounds(asked, found[0], found[-1])))
            for found in read
        ]
        if operator == "ne":
            return ~Q(jsonb.has_value(self.column, self.key)) | ~any_of(tests)
        return any_of(tests)


def _of_days(operator: str, first: FilterMoment, last: FilterMoment) -> Bounds:
    low, high = (timezone.localtime(moment.start).date().isoformat() for moment in (first, last))
    if operator in {IS, "between"}:
        return [("gte", low), ("lte", high)]
    return [(operator, low)]


def _of_times(operator: str, first: FilterMoment, last: FilterMoment) -> Bounds:
    """A bare date is the whole day: after it means from the next day on."""
    if operator in {IS, "between"}:
        if last.end is not None:
            return [("gte", _text(first.start)), ("lt", _text(last.end))]
        return [("gte", _text(first.start)), ("lte", f"{_text(last.start)}Z")]
    if operator in {"gte", "lt"}:
        return [(operator, _text(first.start))]
    if first.end is not None:
        return [("gte" if operator == "gt" else "lt", _text(first.end))]
    return [(operator, f"{_text(first.start)}Z")]


def _text(moment: datetime) -> str:
    """A moment as the beginning of the stored text: without the Z, which sorts after fractions."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "")
