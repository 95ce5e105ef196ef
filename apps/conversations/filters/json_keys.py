"""Conditions on the keys of JSON columns. Dates and times are stored there as ISO 8601 text."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.db.models import Exists, OuterRef, Q
from django.db.models.expressions import Combinable
from django.utils import timezone

from apps.conversations.models import Attributes

from . import jsonb, values
from .conditions import any_of, exists, wanted
from .errors import BadValueError
from .grammar import IS, ValueKind
from .values import FilterMoment

Bounds = list[tuple[str, str]]


class JsonKey:
    """A key of an object in a JSON column of the conversation, or of its attributes."""

    def __init__(
        self,
        column: str,
        key: str,
        kinds: tuple[ValueKind, ...],
        choices: Sequence[tuple[str, str]] = (),
        *,
        attributes: bool = False,
    ) -> None:
        self.column = column
        self.key = key
        self.kinds = kinds
        self.choices = dict(choices)
        self.attributes = attributes

    def condition(self, operator: str, raw: Sequence[str]) -> Q:
        if operator == "isset":
            return self._where([jsonb.has_value(self.column, self.key)], positive=wanted(raw))
        tests = [test for item in raw for test in self._tests(operator, values.read_text(item))]
        return self._where(tests, positive=operator != "ne")

    def _tests(self, operator: str, raw: str) -> list[Combinable]:
        column, key = self.column, self.key
        if operator in {IS, "ne"}:
            return [jsonb.contains(column, key, value) for value in self._equals(raw)]
        if operator in {"startswith", "endswith"}:
            return [jsonb.reads(column, key, operator, raw)]
        if operator == "contains":
            return self._contains(raw)
        return [jsonb.compares(column, key, operator, values.read_numbers(operator, raw))]

    def _contains(self, raw: str) -> list[Combinable]:
        tests: list[Combinable] = []
        if ValueKind.TEXT in self.kinds:
            tests.append(jsonb.reads(self.column, self.key, "contains", raw))
        if ValueKind.LIST in self.kinds:
            members = jsonb.candidates(raw, text=True, number=True, yes_no=True)
            tests += [jsonb.contains(self.column, self.key, [member]) for member in members]
        return tests

    def _equals(self, raw: str) -> list[Any]:
        kinds = set(self.kinds)
        if kinds == {ValueKind.YES_NO}:
            return [values.read_yes_no(raw)]
        if kinds <= {ValueKind.NUMBER, ValueKind.YES_NO} and ValueKind.YES_NO not in kinds:
            return [values.read_number(raw)]
        if ValueKind.TEXT not in kinds and ValueKind.CHOICE in kinds and raw not in self.choices:
            found = [c for c in self._found(raw, kinds) if not isinstance(c, str)]
            if not found:
                known = ", ".join(self.choices)
                raise BadValueError(f"must be one of {known}, not {values.shorten(raw)}.")
            return found
        found = self._found(raw, kinds)
        if not found:
            raise BadValueError(f"needs a number or true or false, not {values.shorten(raw)}.")
        return found

    @staticmethod
    def _found(raw: str, kinds: set[ValueKind]) -> list[Any]:
        return list(
            jsonb.candidates(
                raw,
                text=bool(kinds & {ValueKind.TEXT, ValueKind.CHOICE}),
                number=ValueKind.NUMBER in kinds,
                yes_no=ValueKind.YES_NO in kinds,
            )
        )

    def _where(self, tests: Sequence[Combinable], *, positive: bool) -> Q:
        found = any_of([Q(test) for test in tests])
        if self.attributes:
            rows = Attributes.objects.filter(found, conversation=OuterRef("pk"))
            return exists(Exists(rows), positive)
        return found if positive else (Q(**{f"{self.column}__isnull": True}) | ~found)


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
