"""From parameters to conversations: the entry point of pages, API, and commands."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from django.db.models import Exists, OuterRef
from django.utils.datastructures import MultiValueDict

from apps.conversations import search
from apps.conversations.models import ConversationQuerySet, SearchText

from . import values
from .errors import BadValueError, FilterError
from .filterset import Condition, ConversationFilterSet, StrictFilterSet
from .registry import Field

FEW_HITS = 3_000
"""Up to here a search is a list of keys, so that a rare word never walks the whole table."""

Params = Mapping[str, Any]
T = TypeVar("T")


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


@dataclass(frozen=True, slots=True)
class Spec:
    """A filter that was understood in full, with the order and the columns of the page.

    ``columns`` is empty where none were asked for; sort and columns are not part of the filter.
    """

    conditions: tuple[Condition, ...]
    q: str
    sort: Sort
    columns: tuple[Field, ...]
    filterset: StrictFilterSet

    def as_params(self) -> dict[str, list[str]]:
        """Return the filter in its normal form, as a backfill stores and hashes it."""
        params = {c.parameter: sorted(c.values) for c in self.conditions}
        if self.q:
            params["q"] = [self.q]
        return dict(sorted(params.items()))

    def of_the_page(self) -> dict[str, list[str]]:
        """Sort and columns as parameters, where they are not the usual ones."""
        params = {"columns": [field.name for field in self.columns]} if self.columns else {}
        if self.sort.parameter != self.filterset.default_sort:
            params["sort"] = [self.sort.parameter]
        return params

    @property
    def is_empty(self) -> bool:
        return not self.conditions and not self.q


@dataclass(frozen=True, slots=True)
class FilterSpec(Spec):
    """A filter of conversations. ``channel`` None means both."""

    channel: str | None

    def queryset(self) -> ConversationQuerySet:
        """The conversations that match, in no particular order.

        A search asks the search table at once; all else is lazy.
        """
        rows = cast("ConversationQuerySet", self.filterset.qs.order_by())
        return _searched(rows, self.q) if self.q else rows


def parse(channel: str | None, params: Params) -> FilterSpec:
    """Understand every parameter or reject with a message for each that is wrong.

    ``params`` is a QueryDict, or a mapping of names to a value or a list of values (text,
    numbers, true and false). ``channel`` None means both. Raises `FilterError`.
    """
    spec = understand(params, lambda data: ConversationFilterSet(data, channel=channel))
    return FilterSpec(
        spec.conditions, spec.q, spec.sort, spec.columns, spec.filterset, channel=channel
    )


def understand(
    params: Params, make_set: Callable[[MultiValueDict[str, str]], StrictFilterSet]
) -> Spec:
    """Read all parameters with the fields of a filter set. Raises `FilterError`."""
    data, errors = _as_lists(params)
    asked, sort_given, columns_given = (data.pop(n, []) for n in ("q", "sort", "columns"))
    filterset = make_set(MultiValueDict(data))
    if not filterset.is_valid():
        errors |= filterset.problems
    q = _checked(errors, "q", lambda: _read_search(asked)) or ""
    sort = _checked(errors, "sort", lambda: _read_sort(sort_given, filterset))
    columns = _checked(errors, "columns", lambda: _read_columns(columns_given, filterset))
    if errors or sort is None or columns is None:
        raise FilterError(errors)
    return Spec(filterset.conditions, q, sort, columns, filterset)


def matching(*, channel: str | None, params: Params) -> ConversationQuerySet:
    """The conversations that ``params`` ask for. Raises `FilterError`; never all rows instead."""
    return parse(channel, params).queryset()


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


def _checked(errors: dict[str, str], name: str, read: Callable[[], T]) -> T | None:
    try:
        return read()
    except BadValueError as error:
        errors[name] = f"{name} {error}"
        return None


def _read_search(given: list[str]) -> str:
    if not given:
        return ""
    if len(given) > 1:
        raise BadValueError("takes one text to search for.")
    text = " ".join(values.read_text(given[0]).split())
    if not search.asked(text):
        raise BadValueError(f"has no word or number in it: {values.shorten(text)}.")
    return text


def _read_sort(given: list[str], filterset: StrictFilterSet) -> Sort:
    if len(given) > 1:
        raise BadValueError("takes one field.")
    asked = given[0] if given else filterset.default_sort
    field = filterset.named(asked.removeprefix("-"))
    if field is None or not field.sort:
        raise BadValueError(f"can't sort by {values.shorten(asked)}.")
    return Sort(field, asked.startswith("-"))


def _read_columns(given: list[str], filterset: StrictFilterSet) -> tuple[Field, ...]:
    names = [name for item in given for name in _column_names(item, filterset)]
    found = []
    for name in dict.fromkeys(names):
        field = filterset.named(name)
        if field is None or "\x00" in name:
            raise BadValueError(f"knows no column {values.shorten(name)}.")
        found.append(field)
    if len(found) > 40:
        raise BadValueError(f"takes at most 40 columns, not {len(found)}.")
    return tuple(found)


def _column_names(item: str, filterset: StrictFilterSet) -> Iterable[str]:
    """One name, or several with commas between them (a field's own name may hold a comma)."""
    if filterset.named(item) is not None and not item.startswith(("metadata.", "var.")):
        return [item]
    return [name for name in item.split(",") if name]


def _searched(rows: ConversationQuerySet, q: str) -> ConversationQuerySet:
    hits = SearchText.objects.filter(search.matching(search.asked(q)))
    keys = list(hits.order_by().values_list("pk", flat=True)[: FEW_HITS + 1])
    if len(keys) <= FEW_HITS:
        return rows.filter(pk__in=keys)
    return rows.filter(Exists(hits.filter(conversation=OuterRef("pk"))))
