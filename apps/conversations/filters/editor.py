"""Filter rows: the add-a-row editor of the history pages and of the backfill modal.

A row of a form is ``row-N-field``, ``row-N-op`` and ``row-N-value`` (repeated for several values;
``row-N-high`` is the upper end of *between*, ``row-N-any`` the OR group that it belongs to).
Where a form has several editors, the names of each begin with a prefix of its own (`part_of`).
`params_of` turns a submitted form into the
grammar's parameters, `rows_of` turns parameters back into rows, with the error of each at its row.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from urllib.parse import quote

from django.http import QueryDict

from .choices import ValueChoice
from .grammar import (
    IS,
    ValueKind,
    by_group,
    free_group,
    operator_label,
    parameter_name,
    split_group,
    split_name,
)
from .registry import Field
from .sources import FieldSource, Groups
from .values import read_moment

_NAME = re.compile(r"row-(\d{1,4})-(field|op|value|high|was|any)")
_FIRST_OPERATOR = {ValueKind.TEXT: "contains", ValueKind.NUMBER: "gte", ValueKind.TIME: "between"}
NEW_GROUP = "any"
"""What the button that adds an OR group asks for."""
_SECONDS = {"duration_ms"}
"""Stored in milliseconds, read and written by people in seconds."""


@dataclass(frozen=True)
class EditorRow:
    """One row as the template draws it. ``control`` names how its values are edited."""

    number: int
    field: Field | None
    operator: str
    values: tuple[str, ...]
    operators: tuple[tuple[str, str], ...]
    groups: Groups
    choices: tuple[ValueChoice, ...]
    control: str
    url: str
    """Where a new row of the same editor is drawn."""
    error: str = ""
    group: str = ""
    prefix: str = ""

    @property
    def name(self) -> str:
        """Return what the names of its controls begin with."""
        return f"{self.prefix}row-{self.number}"

    @property
    def row_url(self) -> str:
        """Return the URL that draws this very row again."""
        return f"{self.url}&n={self.number}"

    @property
    def unit(self) -> str:
        return "seconds" if self.field and self.field.name in _SECONDS else ""

    @property
    def low(self) -> str:
        return self.values[0] if self.values else ""

    @property
    def high(self) -> str:
        return self.values[1] if len(self.values) > 1 else ""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Values to type: those there are, and room for one more where several may be."""
        return (*self.values, "") if self.values and self.operator in {IS, "ne"} else self.values


def new_row_url(source: FieldSource, prefix: str = "") -> str:
    """Return the URL that draws a new row; ``prefix`` begins the names of its controls."""
    return f"{source.row_url}&prefix={quote(prefix)}" if prefix else source.row_url


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
        values = tuple(params[parameter])
        asked = _Asked(number, name, operator, values, error, group=group, prefix=prefix)
        rows.append(_row(source, asked, groups))
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
    given = tuple(value for value in values if value)
    group = _group(data, number)
    asked = _Asked(number, name, operator, given, group=group, prefix=prefix)
    return _row(source, asked, source.groups())


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
    return _row(source, _Asked(number, "", IS, group=group, prefix=prefix), source.groups())


def together(rows: Sequence[EditorRow]) -> list[EditorRow]:
    """Return the rows in their order, those of an OR group after the first of it."""
    first: dict[str, int] = {}
    for place, row in enumerate(rows):
        first.setdefault(row.group or row.name, place)
    return sorted(rows, key=lambda row: first[row.group or row.name])


def first_operator(field: Field) -> str:
    """Return the operator that a row begins with: the one that is asked most for this kind."""
    wanted = _FIRST_OPERATOR.get(field.kind, IS)
    if field.counted and field.kind is ValueKind.TEXT:
        wanted = IS
    return wanted if wanted in field.operators else field.operators[0]


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
    if data.get(f"row-{number}-field") in _SECONDS and operator != "isset":
        values = [_times(value, 1000) for value in values]
    high = data.get(f"row-{number}-high", "").strip()
    if operator == "between":
        if high and data.get(f"row-{number}-field") in _SECONDS:
            high = _times(high, 1000)
        return operator, [f"{values[0] if values else ''},{high}"]
    return operator, values or [""]


@dataclass(frozen=True, slots=True)
class _Asked:
    number: int
    name: str
    operator: str
    values: tuple[str, ...] = ()
    error: str = ""
    group: str = ""
    prefix: str = ""


def _row(source: FieldSource, asked: _Asked, groups: Groups) -> EditorRow:
    name, operator, values = asked.name, asked.operator, asked.values
    field = source.named(name) if name else None
    if field and not any(name == option for _, options in groups for option, _ in options):
        groups = (*groups, (field.group, ((field.name, field.label),)))
    if operator == "between" and values:
        low, _, high = values[0].partition(",")
        values = (low, high)
    if name in _SECONDS and operator != "isset":
        values = tuple(_times(value, Decimal("0.001")) for value in values)
    control = _control(field, operator, values)
    return EditorRow(
        number=asked.number,
        field=field,
        operator=operator,
        values=values,
        operators=_operators(field),
        groups=groups,
        choices=_choices(field, source, values) if control in {"choices", "text"} else (),
        control=control,
        url=new_row_url(source, asked.prefix),
        error=asked.error,
        group=asked.group,
        prefix=asked.prefix,
    )


def _operators(field: Field | None) -> tuple[tuple[str, str], ...]:
    if field is None:
        return ()
    return tuple((operator, operator_label(operator, field.kinds)) for operator in field.operators)


def _choices(
    field: Field | None, source: FieldSource, values: tuple[str, ...]
) -> tuple[ValueChoice, ...]:
    if field is None or not (field.counted or field.choices or field.name == "transferred_to"):
        return ()
    offered = source.choices(field)
    known = {choice.value for choice in offered}
    chosen = [ValueChoice(value, value) for value in values if value and value not in known]
    return (*(chosen if field.kind is not ValueKind.TEXT else []), *offered)


def _control(field: Field | None, operator: str, values: tuple[str, ...]) -> str:
    """Return which piece of the template edits the values."""
    if field is None:
        return "none"
    if operator == "isset":
        return "yes_no"
    if operator == "between":
        return "date_range" if field.kind is ValueKind.TIME and _are_days(values) else "range"
    if field.kinds in {(ValueKind.CHOICE,), (ValueKind.YES_NO,)}:
        return "choices"
    if field.kinds == (ValueKind.TIME,):
        return "date" if _are_days(values) else "text"
    return "number" if field.kinds == (ValueKind.NUMBER,) else "text"


def _are_days(values: tuple[str, ...]) -> bool:
    """Return whether a browser's date field can show the values."""
    try:
        return all(read_moment(value).end is not None for value in values if value)
    except ValueError:
        return False


def _times(text: str, factor: int | Decimal) -> str:
    """Return a number in another unit; other text is left for the grammar to reject."""
    try:
        return f"{(Decimal(text.strip()) * factor).normalize():f}" if len(text) < 20 else text
    except InvalidOperation:
        return text
