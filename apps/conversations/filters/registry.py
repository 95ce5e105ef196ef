"""Every field that can be filtered, sorted or shown: the one list behind pages, API, and commands.

The filter grammar, the filter editor, the column chooser, and the API's description use it. Fields
of analyses come from the schemas of agents. Metadata and variables take any key.
"""

from dataclasses import dataclass
from functools import lru_cache

from django.utils.text import Truncator

from apps.agents.models import Channel
from apps.conversations.models import PLAIN_TEXT, AnalysisState, Direction, Reason, Status, Trigger
from apps.llm.errors import ErrorCode

from . import values
from .catalog import SchemaField, schema_fields
from .conditions import (
    AgentColumn,
    ChoiceColumn,
    ConfigColumn,
    ContactColumn,
    Identity,
    NumberColumn,
    PhoneColumn,
    SentimentColumn,
    Target,
    TextColumn,
    TimeColumn,
    TransferredTo,
    YesNoColumn,
)
from .grammar import ValueKind, operators
from .json_keys import JsonKey

Choices = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Field:
    """One thing that a conversation can be filtered by.

    ``choices`` is the closed list of values, where there is one; ``counted`` names the column
    (or, for JSON, the key) whose values are worth listing with their counts; ``sort`` the column
    to order by, empty where the field does not sort.
    """

    name: str
    label: str
    kinds: tuple[ValueKind, ...]
    target: Target
    group: str = "Conversation"
    choices: Choices = ()
    counted: str = ""
    sort: str = ""
    description: str = ""

    @property
    def operators(self) -> tuple[str, ...]:
        return operators(self.kinds)

    @property
    def kind(self) -> ValueKind:
        """Return the kind that decides how the field is edited and shown."""
        return self.kinds[0]


def _text(name: str, label: str, *, counted: str = "", group: str = "Conversation") -> Field:
    target = TextColumn(name)
    return Field(name, label, (ValueKind.TEXT,), target, group, counted=counted, sort=name)


def _phone(name: str, label: str) -> Field:
    target = PhoneColumn(name)
    return Field(name, label, (ValueKind.TEXT,), target, "Conversation", sort=name)


def _number(name: str, label: str, path: str = "", description: str = "") -> Field:
    path = path or name
    target = NumberColumn(path)
    return Field(name, label, (ValueKind.NUMBER,), target, sort=path, description=description)


def _choice(name: str, label: str, choices: Choices, *, group: str = "Conversation") -> Field:
    target = ChoiceColumn(name, choices)
    return Field(
        name, label, (ValueKind.CHOICE,), target, group, choices=choices, counted=name, sort=name
    )


def _session(channel: str | None) -> list[Field]:
    """Facts of the conversation itself."""
    started = TimeColumn("started_at", also="sort_at")
    # `source` and the plain texts are open lists: text whose values are offered.
    return [
        Field("started_at", "Started", (ValueKind.TIME,), started, sort="sort_at"),
        Field(
            "time",
            "Time",
            (ValueKind.TIME,),
            TimeColumn("sort_at"),
            sort="sort_at",
            description="Its start, or its arrival where no start is known.",
        ),
        Field("ended_at", "Ended", (ValueKind.TIME,), TimeColumn("ended_at"), sort="ended_at"),
        _number("duration_ms", "Duration", description="In milliseconds."),
        Field(
            "agent",
            "Agent",
            (ValueKind.CHOICE,),
            AgentColumn(channel),
            counted="agent__public_id",
            sort="agent__name",
            description="The first agent, by its id.",
        ),
        _number(
            "agent_version",
            "Version",
            "agent_version__number",
            description="Number of the agent version that took part.",
        ),
        Field(
            "transferred_to",
            "Transferred to",
            (ValueKind.CHOICE,),
            TransferredTo(),
            description="An agent that the conversation was transferred to, by its id.",
        ),
        Field(
            "contact",
            "Contact",
            (ValueKind.TEXT,),
            ContactColumn(),
            description="Its id, phone number or email; parts of those and of the name.",
        ),
        _phone("from_number", "From"),
        _phone("to_number", "To"),
        _choice("status", "Status", tuple(Status.choices)),
        _choice("direction", "Direction", tuple(Direction.choices)),
        *(_text(name, label, counted=name) for name, label in PLAIN_TEXT.items()),
        _number("message_count", "Messages"),
        _text("source", "Source", counted="source"),
        _text("external_id", "External ID"),
        Field("id", "Id", (ValueKind.ID,), Identity(), sort="public_id"),
    ]


_REASONS: Choices = (
    *tuple((str(value), str(label)) for value, label in Reason.choices),
    *tuple((str(value), str(label)) for value, label in ErrorCode.choices),
)
_GROUP = "Result"


def _result(prefix: str) -> list[Field]:
    """The current result, as columns; the built-in categories are what feeds those columns."""
    word = {"call": "Call", "chat": "Chat"}[prefix]
    return [
        Field(
            f"{prefix}_summary",
            f"{word} summary",
            (ValueKind.TEXT,),
            TextColumn("summary"),
            _GROUP,
        ),
        Field(
            f"{prefix}_successful",
            f"{word} successful",
            (ValueKind.YES_NO,),
            YesNoColumn("successful"),
            _GROUP,
            counted="successful",
            sort="successful",
        ),
    ]


def _analysis(channel: str | None) -> list[Field]:
    costs = NumberColumn("analysis_cost", values.read_numbers)
    return [
        Field(
            "user_sentiment",
            "User sentiment",
            (ValueKind.CHOICE,),
            SentimentColumn(channel),
            _GROUP,
            counted="sentiment",
            sort="sentiment",
        ),
        _choice("analysis_state", "Analysis", tuple(AnalysisState.choices), group=_GROUP),
        _choice("analysis_reason", "Reason not analyzed", _REASONS, group=_GROUP),
        Field(
            "analyzed_at",
            "Analyzed",
            (ValueKind.TIME,),
            TimeColumn("analyzed_at"),
            _GROUP,
            sort="analyzed_at",
        ),
        _choice("analysis_trigger", "Trigger", tuple(Trigger.choices), group=_GROUP),
        _text("analysis_model", "Model", group=_GROUP, counted="analysis_model"),
        Field(
            "analysis_config",
            "Analysis config",
            (ValueKind.CHOICE,),
            ConfigColumn(),
            _GROUP,
            counted="analysis_config__sha256",
            description="sha256:… or the first characters of the hash.",
        ),
        Field("analysis_cost", "Cost", (ValueKind.NUMBER,), costs, _GROUP, sort="analysis_cost"),
        Field("stale", "Stale", (ValueKind.YES_NO,), YesNoColumn("stale"), _GROUP),
    ]


@lru_cache(maxsize=8)
def static_fields(channel: str | None) -> dict[str, Field]:
    """The fields that every installation has, by name; of both channels where none is named."""
    found = _session(channel)
    if channel != Channel.CHAT:
        found += _result("call")
    if channel != Channel.VOICE:
        found += _result("chat")
    found += _analysis(channel)
    return {field.name: field for field in found}


#: A key may hold anything: every operator that some kind takes.
_ANYTHING = (ValueKind.TEXT, ValueKind.NUMBER, ValueKind.YES_NO, ValueKind.LIST)
_SIDE: dict[str, tuple[str, str]] = {
    "metadata": ("metadata", "Metadata"),
    "var": ("dynamic_variables", "Variables"),
}


SIDE_LABELS = tuple(label for _, label in _SIDE.values())


def field_named(name: str, channel: str | None) -> Field | None:
    """Return the field of this name, or None where there is none."""
    if (static := static_fields(channel).get(name)) is not None:
        return static
    group, dot, key = name.partition(".")
    if not dot or not key or "\x00" in key:
        return None
    if group in _SIDE:
        return attribute_field(group, key)
    if group == "analysis" and (found := schema_fields(channel).get(key)) is not None:
        return analysis_field(found)
    return None


def attribute_field(group: str, key: str) -> Field:
    """Return a key of the metadata (``metadata``) or of the dynamic variables (``var``)."""
    column, label = _SIDE[group]
    target = JsonKey(column, key, _ANYTHING, attributes=True)
    return Field(f"{group}.{key}", key, _ANYTHING, target, label)


def analysis_field(found: SchemaField) -> Field:
    """Return a field of the agents' schemas, with every type that it has in one of them."""
    choices = tuple((value, value) for value in found.choices)
    return Field(
        f"analysis.{found.name}",
        found.name,
        found.kinds,
        JsonKey("analysis_data", found.name, found.kinds, choices),
        _group_of(found),
        choices=choices if ValueKind.TEXT not in found.kinds else (),
        counted=found.name if set(found.kinds) & {ValueKind.CHOICE, ValueKind.YES_NO} else "",
        description=found.description,
    )


OF_ONE = "Fields of "
SHARED = "Fields of several agents"
COMPUTED = "Derived fields"


def _group_of(found: SchemaField) -> str:
    """Return the group of a field: the one agent that has it, else that several have."""
    if found.computed:
        return COMPUTED
    return SHARED if len(found.agents) != 1 else OF_ONE + Truncator(found.agents[0]).chars(60)


def fields(channel: str | None) -> list[Field]:
    """Return every field that a menu offers: the fixed ones, then the agents' own.

    The built-in categories are among the fixed ones; ``analysis.call_summary`` works all the same.
    """
    static = static_fields(channel)
    own = [item for item in schema_fields(channel).values() if item.name not in static]
    return [*static.values(), *(analysis_field(item) for item in own)]
