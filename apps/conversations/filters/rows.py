"""One row of the filter editor, as the template draws it: its field, operator, and values."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from urllib.parse import quote

from .choices import ValueChoice
from .grammar import IS, ValueKind, operator_label
from .registry import Field
from .sources import FieldSource, Groups
from .values import read_moment

_FIRST_OPERATOR = {ValueKind.TEXT: "contains", ValueKind.NUMBER: "gte", ValueKind.TIME: "between"}
SECONDS = {"duration_ms"}
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
        return "seconds" if self.field and self.field.name in SECONDS else ""

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


def draw(
    source: FieldSource,
    groups: Groups,
    number: int,
    *,
    name: str = "",
    operator: str = IS,
    values: tuple[str, ...] = (),
    error: str = "",
    group: str = "",
    prefix: str = "",
) -> EditorRow:
    """Return the row of a filter; without a name, one in which no field is chosen yet."""
    field = source.named(name) if name else None
    if field and not any(name == option for _, options in groups for option, _ in options):
        groups = (*groups, (field.group, ((field.name, field.label),)))
    if operator == "between" and values:
        low, _, high = values[0].partition(",")
        values = (low, high)
    if name in SECONDS and operator != "isset":
        values = tuple(times(value, Decimal("0.001")) for value in values)
    control = _control(field, operator, values)
    return EditorRow(
        number=number,
        field=field,
        operator=operator,
        values=values,
        operators=_operators(field),
        groups=groups,
        choices=_choices(field, source, values) if control in {"choices", "text"} else (),
        control=control,
        url=new_row_url(source, prefix),
        error=error,
        group=group,
        prefix=prefix,
    )


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


def times(text: str, factor: int | Decimal) -> str:
    """Return a number in another unit; other text is left for the grammar to reject."""
    try:
        return f"{(Decimal(text.strip()) * factor).normalize():f}" if len(text) < 20 else text
    except InvalidOperation:
        return text
