"""From parameters to rows: the entry point of pages, API, and commands.

Each parameter that is given becomes a condition, or is rejected with a message: a filter that was
left out would be a backfill of everything. `parse` and `matching` are of conversations,
`understand` is for anything that has fields.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, TypeVar

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.datastructures import MultiValueDict

from apps.conversations import search
from apps.conversations.models import Conversation, ConversationQuerySet, SearchText

from . import values
from .errors import BadValueError, FilterError
from .grammar import IS, group_problem, operator_label, parameter_name, split_group, split_name
from .registry import Field, field_named

DEFAULT_SORT = "-started_at"
FEW_HITS = 3_000
"""Up to here a search is a list of keys, so that a rare word never walks the whole table."""

Params = Mapping[str, Any]
Rows = TypeVar("Rows", bound=QuerySet[Any])
T = TypeVar("T")


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
            return "is set" if values.read_yes_no(self.values[0]) else "is not set"
        label = operator_label(self.operator, self.field.kinds)
        return "is any of" if label == "is" and len(self.values) > 1 else label


@dataclass(frozen=True, slots=True)
class Sort:
    """The order of a list; nulls come last either way, the key breaks ties."""

    field: Field
    descending: bool

    @property
    def parameter(self) -> str:
        return f"{'-' if self.descending else ''}{self.field.name}"

    @property
    def order(self) -> list[str]:
        """As `apps.core.pagination.page` takes it."""
        return [f"{'-' if self.descending else ''}{self.field.sort}"]


class Filterable:
    """What can be filtered: its fields, and the sort where none is asked for."""

    default_sort: ClassVar[str]

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


@dataclass(frozen=True, slots=True)
class Spec:
    """A filter that was understood in full, with the order and the columns of the page.

    ``columns`` is empty where none were asked for; sort and columns are not part of the filter.
    """

    conditions: tuple[Condition, ...]
    q: str
    sort: Sort
    columns: tuple[Field, ...]
    default_sort: str

    def as_params(self) -> dict[str, list[str]]:
        """Return the filter in its normal form, as a backfill stores and hashes it."""
        params = {c.parameter: sorted(c.values) for c in self.conditions}
        if self.q:
            params["q"] = [self.q]
        return dict(sorted(params.items()))

    def of_the_page(self) -> dict[str, list[str]]:
        """Sort and columns as parameters, where they are not the usual ones."""
        params = {"columns": [field.name for field in self.columns]} if self.columns else {}
        if self.sort.parameter != self.default_sort:
            params["sort"] = [self.sort.parameter]
        return params

    @property
    def is_empty(self) -> bool:
        return not self.conditions and not self.q

    def select(self, rows: Rows) -> Rows:
        """Return the rows that match every condition, and one of each OR group."""
        groups: dict[str, Q] = {}
        for condition in self.conditions:
            if condition.group:
                known = groups.get(condition.group)
                groups[condition.group] = condition.q if known is None else known | condition.q
            else:
                rows = rows.filter(condition.q)
        for found in groups.values():
            rows = rows.filter(found)
        return rows


@dataclass(frozen=True, slots=True)
class FilterSpec(Spec):
    """A filter of conversations. ``channel`` None means both."""

    channel: str | None

    def queryset(self) -> ConversationQuerySet:
        """The conversations that match, in no particular order.

        A search asks the search table at once; all else is lazy.
        """
        rows = Conversation.objects.order_by()
        rows = self.select(rows.filter(channel=self.channel) if self.channel else rows)
        return _searched(rows, self.q) if self.q else rows


@dataclass(frozen=True, slots=True)
class _Conversations(Filterable):
    channel: str | None
    default_sort: ClassVar[str] = DEFAULT_SORT

    def named(self, name: str) -> Field | None:
        return field_named(name, self.channel)

    def unknown_name(self, parameter: str, name: str) -> str:
        if name.startswith("analysis."):
            key = values.shorten(name.removeprefix("analysis."))
            return f"No agent has a field named {key}."
        if self.channel and field_named(name, None) is not None:
            what = "calls" if self.channel == "voice" else "chats"
            return f"Unknown filter {values.shorten(name)} for {what}."
        return Filterable.unknown_name(self, parameter, name)


def matching(*, channel: str | None, params: Params) -> ConversationQuerySet:
    """The conversations that ``params`` ask for. Raises `FilterError`; never all rows instead."""
    return parse(channel, params).queryset()


def parse(channel: str | None, params: Params) -> FilterSpec:
    """Understand every parameter or reject with a message for each that is wrong.

    ``params`` is a QueryDict, or a mapping of names to a value or a list of values (text,
    numbers, true and false). ``channel`` None means both. Raises `FilterError`.
    """
    spec = understand(params, _Conversations(channel))
    return FilterSpec(
        spec.conditions, spec.q, spec.sort, spec.columns, spec.default_sort, channel=channel
    )


def understand(params: Params, what: Filterable) -> Spec:
    """Read all parameters with the fields of what is filtered. Raises `FilterError`."""
    data, errors = _as_lists(params)
    asked, sort_given, columns_given = (data.pop(n, []) for n in ("q", "sort", "columns"))

    def read(name: str, reader: Callable[[], T], prefix: str = "") -> T | None:
        try:
            return reader()
        except BadValueError as error:
            errors[name] = f"{prefix}{error}"
            return None

    conditions = [
        read(name, partial(_read_condition, name, given, what)) for name, given in data.items()
    ]
    q = read("q", lambda: _read_search(asked), "q ") or ""
    sort = read("sort", lambda: _read_sort(sort_given, what), "sort ")
    columns = read("columns", lambda: _read_columns(columns_given, what), "columns ")
    if errors or sort is None or columns is None:
        raise FilterError(errors)
    return Spec(tuple(c for c in conditions if c), q, sort, columns, what.default_sort)


def _read_condition(parameter: str, given: Sequence[str], what: Filterable) -> Condition:
    """Understand one parameter. Raises BadValueError with the message that rejects it."""
    if problem := group_problem(parameter):
        raise BadValueError(problem)
    group, rest = split_group(parameter)
    name, operator = split_name(rest)
    field = what.named(name)
    if field is None:
        raise BadValueError(what.unknown_name(rest, name))
    if problem := unsupported(field, operator):
        raise BadValueError(problem)
    return condition_of(field, operator, given, group=group)


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


def _as_lists(params: Params) -> tuple[dict[str, list[str]], dict[str, str]]:
    lists = params.lists() if isinstance(params, MultiValueDict) else params.items()
    data: dict[str, list[str]] = {}
    errors: dict[str, str] = {}
    for name, given in lists:
        items = given if isinstance(given, list | tuple) else [given]
        try:
            data[str(name)] = [_as_text(item) for item in items]
        except TypeError:
            errors[str(name)] = f"{name} takes text, a number, true, false, or a list of those."
    return data, errors


def _as_text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise TypeError


def _read_search(given: list[str]) -> str:
    if not given:
        return ""
    if len(given) > 1:
        raise BadValueError("takes one text to search for.")
    text = " ".join(values.read_text(given[0]).split())
    if not search.asked(text):
        raise BadValueError(f"has no word or number in it: {values.shorten(text)}.")
    return text


def _read_sort(given: list[str], what: Filterable) -> Sort:
    if len(given) > 1:
        raise BadValueError("takes one field.")
    asked = given[0] if given else what.default_sort
    field = what.named(asked.removeprefix("-"))
    if field is None or not field.sort:
        raise BadValueError(f"can't sort by {values.shorten(asked)}.")
    return Sort(field, asked.startswith("-"))


def _read_columns(given: list[str], what: Filterable) -> tuple[Field, ...]:
    names = [name for item in given for name in _column_names(item, what)]
    found = []
    for name in dict.fromkeys(names):
        field = what.named(name)
        if field is None or "\x00" in name:
            raise BadValueError(f"knows no column {values.shorten(name)}.")
        found.append(field)
    if len(found) > 40:
        raise BadValueError(f"takes at most 40 columns, not {len(found)}.")
    return tuple(found)


def _column_names(item: str, what: Filterable) -> Iterable[str]:
    """One name, or several with commas between them (a field's own name may hold a comma)."""
    if what.named(item) is not None and not item.startswith(("metadata.", "var.")):
        return [item]
    return [name for name in item.split(",") if name]


def _searched(rows: ConversationQuerySet, q: str) -> ConversationQuerySet:
    hits = SearchText.objects.filter(search.matching(search.asked(q)))
    keys = list(hits.order_by().values_list("pk", flat=True)[: FEW_HITS + 1])
    if len(keys) <= FEW_HITS:
        return rows.filter(pk__in=keys)
    return rows.filter(Exists(hits.filter(conversation=OuterRef("pk"))))
