"""Filters in forms: rows of the add-a-row editor, and the form that was read from them.

A row of a form is ``row-N-field``, ``row-N-op`` and ``row-N-value`` (repeated for several values;
``row-N-high`` is the upper end of *between*, ``row-N-any`` the OR group that it belongs to).
Where a form has several editors, the names of each begin with a prefix of its own (`part_of`).
`params_of` turns a submitted form into the grammar's parameters, `rows_of` turns parameters back
into rows, with the error of each at its row. `FilterForm` is both, for conversations.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import Http404, QueryDict

from apps.agents.models import Channel

from .errors import FilterError
from .grammar import IS, by_group, free_group, parameter_name, split_group, split_name
from .registry import field_named
from .rows import SECONDS, EditorRow, draw, first_operator, times, together
from .sources import ConversationFields, FieldSource
from .spec import FilterSpec, parse

Params = dict[str, list[str]]

_NAME = re.compile(r"row-(\d{1,4})-(field|op|value|high|was|any)")
NEW_GROUP = "any"
"""What the button that adds an OR group asks for."""
#: Names in the forms that are not filters.
_NOT_FILTERS = {
    *("channel", "csrfmiddlewaretoken", "token", "look", "show", "add", "remove", "drop"),
    *("sort", "columns", "cursor", "all_matching"),
}
#: Submit buttons that only ask to be shown something, without script or in another dialog.
_LOOKS = ("look", "show", "add", "drop", "remove")


def is_form(data: QueryDict) -> bool:
    """Return whether rows of the editor were submitted, rather than plain parameters."""
    return any(_NAME.fullmatch(name) for name in data)


def params_of(data: QueryDict) -> QueryDict:
    """Return the plain parameters that a submitted form means; those already plain are stored.

    A row without a field is one that no one filled in. A row without a value stays, and is
    rejected with its message.
    """
    params = without_rows(data)
    dropped = set(data.getlist("drop"))
    params.pop("drop", None)
    for number, parameter in parameters_by_row(data).items():
        if dropped & {str(number), _group(data, number)}:
            continue
        _, values = _answer(data, number)
        known = params.getlist(parameter)
        params.setlist(parameter, [*known, *(value for value in values if value not in known)])
    return params


def parameters_by_row(data: QueryDict) -> dict[int, str]:
    """Return the parameter that each submitted row with a field amounts to, by its number."""
    return {
        number: parameter_name(_group(data, number), field, data.get(f"row-{number}-op", ""))
        for number in _numbers(data)
        if (field := data.get(f"row-{number}-field", ""))
    }


def part_of(data: QueryDict, prefix: str) -> QueryDict:
    """Return the rows of one of several editors of a form, without their prefix."""
    found = QueryDict(mutable=True)
    for name, values in data.lists():
        plain = name.removeprefix(prefix)
        if name.startswith(prefix) and (_NAME.fullmatch(plain) or plain in {"add", "drop"}):
            found.setlist(plain, values)
    return found


def without_rows(data: QueryDict) -> QueryDict:
    """Return the parameters that are already plain."""
    params = QueryDict(mutable=True)
    for name, values in data.lists():
        if not _NAME.fullmatch(name):
            params.setlist(name, values)
    return params


def half_chosen(data: QueryDict) -> str:
    """The filter of a row that has not been redrawn for it, as happens without script; or empty."""
    for number in _numbers(data):
        name = data.get(f"row-{number}-field", "")
        if name and name != data.get(f"row-{number}-was", name):
            return parameter_name(_group(data, number), name, IS)
    return ""


def rows_of(
    source: FieldSource,
    params: Mapping[str, Sequence[str]],
    errors: Mapping[str, str] | None = None,
    *,
    prefix: str = "",
) -> list[EditorRow]:
    """A row for each filter among the parameters, known or not, in their order.

    Rows of an OR group come one after the other.
    """
    groups = source.groups()
    rows = []
    for number, parameter in enumerate(by_group(params)):
        group, rest = split_group(parameter)
        name, operator = split_name(rest)
        error = (errors or {}).get(parameter, "")
        rows.append(
            draw(
                source,
                groups,
                number,
                name=name,
                operator=operator,
                values=tuple(params[parameter]),
                error=error,
                group=group,
                prefix=prefix,
            )
        )
    return rows


def row_of_form(
    source: FieldSource, data: QueryDict, number: int, *, prefix: str = ""
) -> EditorRow:
    """The row as it should be drawn after its field or operator was changed."""
    name = data.get(f"row-{number}-field", "")
    operator, values = _answer(data, number)
    if name != data.get(f"row-{number}-was", name):
        field = source.named(name)
        operator, values = (first_operator(field) if field else IS), []
    return draw(
        source,
        source.groups(),
        number,
        name=name,
        operator=operator,
        values=tuple(value for value in values if value),
        group=_group(data, number),
        prefix=prefix,
    )


def added_to(data: QueryDict) -> str:
    """Return the OR group that a row is to be added to, as `new_row` takes it."""
    asked = data.get("add", "")
    return asked if asked.startswith(NEW_GROUP) else ""


def new_row(
    source: FieldSource, data: QueryDict, *, group: str = "", prefix: str = ""
) -> EditorRow:
    """An empty row, numbered after those of the form.

    It is the first of a new OR group where ``group`` is `NEW_GROUP`, unless all are taken.
    """
    numbers = _numbers(data)
    number = max(numbers, default=-1) + 1
    if group == NEW_GROUP:
        group = free_group(_group(data, taken) for taken in numbers)
    return draw(source, source.groups(), number, group=group, prefix=prefix)


def _numbers(data: QueryDict) -> list[int]:
    found = {int(match[1]) for name in data if (match := _NAME.fullmatch(name))}
    return sorted(found)


def _group(data: QueryDict, number: int) -> str:
    """Return the OR group of a row; a name that is none stays, and its parameter is rejected."""
    return data.get(f"row-{number}-any", "").strip()


def _answer(data: QueryDict, number: int) -> tuple[str, list[str]]:
    """Operator and values of a row as the grammar writes them."""
    operator = data.get(f"row-{number}-op", "")
    values = [value for value in data.getlist(f"row-{number}-value") if value.strip()]
    if data.get(f"row-{number}-field") in SECONDS and operator != "isset":
        values = [times(value, 1000) for value in values]
    high = data.get(f"row-{number}-high", "").strip()
    if operator == "between":
        if high and data.get(f"row-{number}-field") in SECONDS:
            high = times(high, 1000)
        return operator, [f"{values[0] if values else ''},{high}"]
    return operator, values or [""]


@dataclass(frozen=True)
class Kept:
    """A filter that no row shows: a selection of conversations, or an invalid filter.

    It stays in the form until a person removes it, so that it never disappears unnoticed.
    """

    name: str
    values: list[str]
    message: str


@dataclass(frozen=True)
class FilterForm:
    """The filters of a form that was read. ``spec`` is None where one of them is wrong.

    ``given`` are the filters as they were typed, ``errors`` a message by parameter; ``row_of``
    is the parameter by the number of the submitted row, ``spare_row`` the group in which an empty
    row is added: `NEW_GROUP` for one of its own, "1" for none, empty for no row.
    """

    channel: str
    given: Params
    spec: FilterSpec | None
    errors: dict[str, str]
    row_of: dict[str, str]
    spare_row: str

    @property
    def search(self) -> str:
        """The words that are searched for, which are a filter without a row."""
        return " ".join(self.given.get("q", []))

    @property
    def chosen_ids(self) -> list[str]:
        """Conversations that were selected on a history page, which no row has room for."""
        return [] if self._has_row("id") else self.given.get("id", [])

    @property
    def kept(self) -> list[Kept]:
        """Filters that no row can show."""
        return [
            Kept(name, values, self.errors.get(name, ""))
            for name, values in self.given.items()
            if name != "q" and not self._has_row(name)
        ]

    @property
    def waiting(self) -> list[str]:
        """Labels of the rows in which a field was chosen and no value yet."""
        return [self._label(name) or name for name in self._without_value()]

    @property
    def row_messages(self) -> list[tuple[str, str]]:
        """A message for each submitted row, empty where it is valid, or not yet filled in."""
        told = self._without_value()
        messages = []
        for number, parameter in self.row_of.items():
            messages.append((number, "" if parameter in told else self.errors.get(parameter, "")))
            told.add(parameter)
        return messages

    def rows(self) -> list[EditorRow]:
        """Return the filter rows as the template draws them."""
        filters = {
            name: values
            for name, values in self.given.items()
            if name != "q" and self._has_row(name)
        }
        drawn = rows_of(ConversationFields(self.channel), filters, self.errors)
        if self.spare_row:
            taken = QueryDict(mutable=True)
            for row in drawn:
                taken.update({f"{row.name}-field": "", f"{row.name}-any": row.group})
            taken["add"] = self.spare_row
            group = added_to(taken)
            added = new_row(ConversationFields(self.channel), taken, group=group)
            drawn = together([*drawn, added])
        return drawn

    def _without_value(self) -> set[str]:
        return {
            name for name in self.errors if not "".join(self.given.get(name, [])).strip(" ,")
        } & set(self.row_of.values())

    def _has_row(self, parameter: str) -> bool:
        """Return whether a row shows it. A selection on a history page is shown by its number."""
        if parameter == "id" and len(self.given.get("id", [])) > 1:
            return "id" in self.row_of.values()
        return self._label(parameter) is not None

    def _label(self, parameter: str) -> str | None:
        field = field_named(split_name(split_group(parameter)[1])[0], self.channel)
        return field.label if field else None


def channel_of(data: QueryDict) -> Channel:
    """Return the channel that a form or an address names. Raises Http404 for another, or none."""
    channel = data.get("channel", "")
    if channel not in Channel.values:
        raise Http404("channel must be voice or chat.")
    return Channel(channel)


def only_looks(data: QueryDict) -> bool:
    """Return whether a form was sent to be shown again, not to start anything."""
    return any(name in data for name in _LOOKS)


def filters_in(data: QueryDict, *, other: Collection[str]) -> Params:
    """Return the filters of a form or an address. ``other`` are its names that are none."""
    return {
        name: values
        for name, values in params_of(data).lists()
        if name not in {*_NOT_FILTERS, *other, data.get("remove", "")}
        and not (name == "q" and not "".join(values).strip())  # a search box that was emptied
    }


def read_filters(channel: str, given: Params, data: QueryDict) -> dict[str, Any]:
    """Return the values of a `FilterForm`. Nothing that is wrong is left out."""
    spec: FilterSpec | None = None
    errors: dict[str, str] = {}
    try:
        spec = parse(channel, given)
    except FilterError as error:
        errors = error.errors
    return {
        "channel": channel,
        "given": given,
        "spec": spec,
        "errors": errors,
        "row_of": {str(n): name for n, name in parameters_by_row(data).items()},
        "spare_row": data.get("add", ""),
    }
