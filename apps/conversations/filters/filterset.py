"""The FilterSet: django-filter's frame around the registry, made strict.

Alone, an invalid FilterSet returns *all rows* and ignores parameters that it does not know;
a backfill built on that would rerun everything. Here each parameter that is given has a filter
or an error, and an invalid set has no queryset at all.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import django_filters
from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.utils.datastructures import MultiValueDict

from apps.conversations.models import Conversation

from . import values
from .errors import BadValueError, FilterError
from .grammar import (
    IS,
    group_problem,
    isset_label,
    operator_label,
    parameter_name,
    split_group,
    split_name,
)
from .registry import Field, field_named

DEFAULT_SORT = "-started_at"


@dataclass(frozen=True)
class Condition:
    """One parameter, understood: a row of the editor, a chip above the table.

    ``group`` names the OR group that it belongs to; empty for one outside of groups.
    """

    field: Field
    operator: str
    values: tuple[str, ...]
    q: Q
    group: str = ""

    @property
    def parameter(self) -> str:
        """Return its name in a URL: ``FIELD``, ``FIELD__OP``, or ``any1.FIELD__OP``."""
        return parameter_name(self.group, self.field.name, self.operator)

    @property
    def operator_label(self) -> str:
        """Return the operator in words; with ``isset`` the response is part of it."""
        if self.operator == "isset":
            return isset_label(values.read_yes_no(self.values[0]))
        label = operator_label(self.operator, self.field.kinds)
        return "is any of" if label == "is" and len(self.values) > 1 else label


class ValuesWidget(forms.Widget):
    """Read every value of a parameter: repeating it means *any of*. The editor draws itself."""

    def value_from_datadict(self, data: Any, files: object, name: str) -> list[str]:
        return cast("list[str]", data.getlist(name))


class ValuesField(forms.Field):
    """All values of one parameter; cleans to a `Condition`."""

    def __init__(self, field: Field, operator: str, group: str = "", **options: Any) -> None:
        self.definition = field
        self.operator = operator
        self.group = group
        super().__init__(required=False, label=field.label, widget=ValuesWidget(), **options)

    def clean(self, value: Any) -> Condition:
        try:
            return condition_of(self.definition, self.operator, value, group=self.group)
        except BadValueError as error:
            raise ValidationError(str(error)) from None


def condition_of(
    field: Field, operator: str, given: Sequence[str], *, group: str = ""
) -> Condition:
    """Understand the values of one filter. Raises BadValueError with the message."""
    found = tuple(dict.fromkeys(given))
    name = field.name
    if not found or not all(item.strip() for item in found):
        raise BadValueError(f"Enter a value for {name}, or remove the filter.")
    if len(found) > values.MAX_VALUES:
        raise BadValueError(
            f"{name} takes at most {values.MAX_VALUES:,} values, not {len(found):,}."
        )
    try:
        return Condition(field, operator, found, field.target.condition(operator, found), group)
    except BadValueError as error:
        raise BadValueError(f"{name} {error}") from None


def unsupported(field: Field, operator: str) -> str:
    """Return the message for an operator that a field does not take; empty where it does."""
    if operator in field.operators:
        return ""
    taken = ", ".join(operator_label(o, field.kinds) for o in field.operators)
    asked = "is" if operator == IS else f"__{operator}"
    return f"{field.name} doesn't support {asked}. Use one of: {taken}."


class ConditionFilter(django_filters.Filter):
    """One field with one operator."""

    def __init__(self, field: Field, operator: str, group: str = "") -> None:
        super().__init__(field.name, lookup_expr=operator or "exact", label=field.label)
        self.definition = field
        self.operator = operator
        self.group = group

    @property
    def field(self) -> ValuesField:
        return ValuesField(self.definition, self.operator, self.group)


class StrictFilterSet(django_filters.FilterSet):
    """A set in which each parameter has a filter or an error. Subclasses name the fields."""

    default_sort: ClassVar[str]

    def __init__(self, data: MultiValueDict[str, str], rows: QuerySet[Any]) -> None:
        super().__init__(data, rows)
        self.unknown: dict[str, str] = {}
        self.filters = OrderedDict()
        for parameter in data:
            found = self._filter_of(parameter)
            if isinstance(found, ConditionFilter):
                self.filters[parameter] = found
            else:
                self.unknown[parameter] = found

    def named(self, name: str) -> Field | None:
        """Return the field of this name, or None where there is none."""
        raise NotImplementedError

    def unknown_name(self, parameter: str, name: str) -> str:
        """Return the message for a parameter whose field doesn't exist."""
        head, _, tail = parameter.rpartition("__")
        if head and self.named(head) is not None:
            tail = values.shorten(tail)
            return f"Unknown operator {tail}, as in {values.shorten(parameter)}."
        return f"Unknown filter {values.shorten(name)}."

    def is_valid(self) -> bool:
        return not self.unknown and bool(self.form.is_valid())

    @property
    def problems(self) -> dict[str, str]:
        """Return a message for each parameter that was rejected."""
        refused = {
            name: " ".join(str(error) for error in errors)
            for name, errors in self.form.errors.items()
        }
        return {**self.unknown, **refused}

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Return the conditions, in the order given. Raises FilterError."""
        if not self.is_valid():
            raise FilterError(self.problems)
        return tuple(self.form.cleaned_data[name] for name in self.filters)

    @property
    def qs(self) -> QuerySet[Any]:
        """Return matching rows. Raises FilterError where django-filter would return all rows."""
        if not self.is_valid():
            raise FilterError(self.problems)
        return super().qs

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows that match every condition, and one of each OR group."""
        groups: dict[str, Q] = {}
        for condition in self.form.cleaned_data.values():
            if condition.group:
                known = groups.get(condition.group)
                groups[condition.group] = condition.q if known is None else known | condition.q
            else:
                queryset = queryset.filter(condition.q)
        for found in groups.values():
            queryset = queryset.filter(found)
        return queryset

    def _filter_of(self, parameter: str) -> ConditionFilter | str:
        """Return the filter of a parameter, or the message that rejects it."""
        if problem := group_problem(parameter):
            return problem
        group, rest = split_group(parameter)
        name, operator = split_name(rest)
        field = self.named(name)
        if field is None:
            return self.unknown_name(rest, name)
        return unsupported(field, operator) or ConditionFilter(field, operator, group)


class ConversationFilterSet(StrictFilterSet):
    """The one filter behind pages, API, backfill modal and commands."""

    default_sort = DEFAULT_SORT

    class Meta:
        model = Conversation
        fields: list[str] = []

    def __init__(self, data: MultiValueDict[str, str], *, channel: str | None) -> None:
        self.channel = channel
        rows = Conversation.objects.all()
        super().__init__(data, rows.filter(channel=channel) if channel else rows)

    def named(self, name: str) -> Field | None:
        return field_named(name, self.channel)

    def unknown_name(self, parameter: str, name: str) -> str:
        if name.startswith("analysis."):
            key = values.shorten(name.removeprefix("analysis."))
            return f"No agent has a field named {key}."
        if self.channel and field_named(name, None) is not None:
            what = "calls" if self.channel == "voice" else "chats"
            return f"Unknown filter {values.shorten(name)} for {what}."
        return super().unknown_name(parameter, name)
