"""Fields that have statistics, and how SQL reads their values.

Tiles are drawn from the schemas of the agents: a field's type is that of its newest schema, and
values of another type are counted as left out. The built-in outcome and sentiment are the columns
that each agent's own fields feed, as in the filters.
"""

from dataclasses import dataclass
from enum import StrEnum

from django.db.models import QuerySet

from apps.agents.documents import SENTIMENTS
from apps.agents.models import Agent
from apps.conversations.filters import Field, ValueKind, field_named, static_fields
from apps.conversations.filters.catalog import SchemaField, schema_fields
from apps.conversations.filters.registry import analysis_field


class FieldType(StrEnum):
    """The kind of statistics that a field has; the values are those of the API."""

    BOOLEAN = "boolean"
    CHOICE = "choice"
    LIST = "list"
    NUMBER = "number"
    TEXT = "text"


class Source(StrEnum):
    """Where a value is: in the JSON of the result, or in a column of a type."""

    RESULT = "result"
    COLUMN = "column"


@dataclass(frozen=True, slots=True)
class InsightField:
    """A field with statistics.

    ``name`` is that of the API and of the tile; ``filter_name`` that of the filters. ``path`` is
    the key in the result's JSON, or the column. ``choices`` are those of all schemas, in order;
    ``is_closed``: filters take no others.
    Numbers of a column with too many values to count each are rounded down to a multiple of
    ``step`` for the median and the distribution. Their mean is exact.
    """

    name: str
    label: str
    type: FieldType
    filter_name: str
    source: Source
    path: str
    choices: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    description: str = ""
    is_closed: bool = False
    is_derived: bool = False
    step: int = 1

    @property
    def is_column(self) -> bool:
        return self.source == Source.COLUMN

    @property
    def is_measure(self) -> bool:
        """Return whether it is a fact of the conversation, which needs no result."""
        return self.name in _MEASURES

    @property
    def how(self) -> str:
        """Return how its numbers are computed, as text."""
        return _HOW[self.type]


_HOW = {
    FieldType.BOOLEAN: "Share of yes among the conversations with a yes or no.",
    FieldType.CHOICE: "Share of each value among the conversations with a value.",
    FieldType.LIST: "Share of the conversations that have the entry, each counted once. An empty "
    "list counts.",
    FieldType.NUMBER: "Mean and median of the conversations with a number.",
    FieldType.TEXT: "Share of each text among the conversations with a text.",
}
_TYPES = {
    ValueKind.YES_NO: FieldType.BOOLEAN,
    ValueKind.CHOICE: FieldType.CHOICE,
    ValueKind.LIST: FieldType.LIST,
    ValueKind.NUMBER: FieldType.NUMBER,
    ValueKind.TEXT: FieldType.TEXT,
}
YES_NO = (("true", "Yes"), ("false", "No"))
_SUMMARIES = ("call_summary", "chat_summary")
_OUTCOMES = ("call_successful", "chat_successful")
_MEASURES = {"duration_ms": 1000, "message_count": 1}
"""Columns of numbers with the step of their distribution."""


def insight_fields(
    channel: str | None, agents: QuerySet[Agent] | None = None
) -> dict[str, InsightField]:
    """Return the fields with statistics by name: built-ins, those of the schemas, then measures.

    ``agents`` limits them to the schemas of those agents.
    """
    keys = None if agents is None else agents.values("pk")
    schemas = schema_fields(channel, agents=keys)
    found = [_column(name, channel) for name in _OUTCOMES if name in schemas]
    if "user_sentiment" in schemas:
        found.append(_column("user_sentiment", channel))
    skipped = {*_SUMMARIES, *_OUTCOMES, "user_sentiment"}
    found += [
        _of_schema(field)
        for name, field in schemas.items()
        if name not in skipped and field.kinds[0] in _TYPES
    ]
    found += [_column(name, channel) for name in _MEASURES]
    return {field.name: field for field in found}


def _column(name: str, channel: str | None) -> InsightField:
    field = field_named(name, channel)
    assert field is not None
    return InsightField(
        name,
        field.label,
        _TYPES[field.kind],
        name,
        Source.COLUMN,
        field.counted or name,
        SENTIMENTS if name == "user_sentiment" else (),
        description=field.description,
        step=_MEASURES.get(name, 1),
    )


def _of_schema(found: SchemaField) -> InsightField:
    field: Field = analysis_field(found)
    return InsightField(
        found.name,
        field.label,
        _TYPES[found.kinds[0]],
        field.name,
        Source.RESULT,
        found.name,
        found.choices,
        description=found.description,
        is_closed=bool(field.choices),
        is_derived=found.computed,
    )


GROUPINGS = (
    "agent",
    "agent_version",
    "status",
    "direction",
    "disconnection_reason",
    "language",
    "source",
    "analysis_model",
    "analysis_trigger",
)
"""Columns that statistics can be broken down by, in addition to choice and yes/no fields."""


@dataclass(frozen=True, slots=True)
class Grouping:
    """What statistics are broken down by; ``path`` as in `InsightField`."""

    name: str
    label: str
    source: Source
    path: str
    labels: tuple[tuple[str, str], ...] = ()


def groupings(channel: str | None, fields: dict[str, InsightField]) -> dict[str, Grouping]:
    """Return everything to break statistics down by, by its filter name."""
    found = [
        Grouping(
            f.filter_name,
            f.label,
            f.source,
            f.path,
            YES_NO if f.type == FieldType.BOOLEAN else f.labels,
        )
        for f in fields.values()
        if f.type in {FieldType.BOOLEAN, FieldType.CHOICE}
    ]
    static = static_fields(channel)
    found += [
        Grouping(
            name,
            static[name].label,
            Source.COLUMN,
            static[name].counted or static[name].sort,
            static[name].choices,
        )
        for name in GROUPINGS
    ]
    return {grouping.name: grouping for grouping in found}
