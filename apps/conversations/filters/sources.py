"""What a filter is about: the fields that it offers, and where the editor's rows are drawn.

The editor and the chips work for anything that is filtered: conversations here, contacts in
`apps.mappings`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from django.urls import reverse

from .catalog import schema_fields
from .choices import ValueChoice, attribute_keys, choices_of
from .registry import (
    COMPUTED,
    OF_ONE,
    SHARED,
    SIDE_LABELS,
    Field,
    analysis_field,
    attribute_field,
    field_named,
    fields,
    static_fields,
)

#: Fields to choose from: (group, ((name, label), …)).
Groups = tuple[tuple[str, tuple[tuple[str, str], ...]], ...]


class FieldSource(Protocol):
    """The fields that rows of the editor offer."""

    @property
    def row_url(self) -> str:
        """Return the URL that draws a row, with a query to append parameters to."""
        ...

    def named(self, name: str) -> Field | None:
        """Return the field of this name, or None where there is none."""
        ...

    def groups(self) -> Groups:
        """Return every field to choose from, in groups."""
        ...

    def choices(self, field: Field) -> Sequence[ValueChoice]:
        """Return the values that a field is offered with."""
        ...


@dataclass(frozen=True, slots=True)
class ConversationFields:
    """The fields of the calls or of the chats."""

    channel: str | None

    @property
    def row_url(self) -> str:
        return f"{reverse('conversations:filter_row')}?channel={self.channel or ''}"

    def named(self, name: str) -> Field | None:
        """Return the field of this name, or None where there is none."""
        return field_named(name, self.channel)

    def groups(self) -> Groups:
        """Return every field to choose from.

        Fields of analyses are grouped by the agent that has them, those of several agents first.
        """
        found = grouped(self._listed())
        return tuple(sorted(found, key=lambda group: _place(group[0])))

    def choices(self, field: Field) -> Sequence[ValueChoice]:
        return choices_of(field, self.channel)

    def _listed(self) -> Iterable[Field]:
        yield from fields(self.channel)
        for group, keys in attribute_keys(self.channel).items():
            yield from (attribute_field(group, key) for key in keys)


#: Fields of rules, in addition to those of analyses, metadata, and variables: facts that are
#: known when a result is recorded, and do not change afterward.
RULE_FIELDS = frozenset(
    {
        "call_successful", "call_summary", "chat_successful", "chat_summary", "user_sentiment",
        "direction", "disconnection_reason", "duration_ms", "language", "message_count",
        "source", "status",
    }
)  # fmt: skip


def source_of(channel: str, rule: str) -> FieldSource:
    """Return the fields of a channel, or of rules: ``all``, or ``own`` without derived fields."""
    if rule:
        return RuleFields(channel or None, derived=rule != "own")
    return ConversationFields(channel)


class RuleFields:
    """The fields that a rule may be about; a field of an analysis goes by its own name too.

    It asks for the fields of schemas once, so make a new one for each request or group of
    results. ``derived`` False leaves out derived fields.
    """

    def __init__(self, channel: str | None, *, derived: bool = True) -> None:
        self.channel = channel
        self.derived = derived

    @property
    def row_url(self) -> str:
        which = "all" if self.derived else "own"
        return f"{ConversationFields(self.channel).row_url}&rule={which}"

    @cached_property
    def own(self) -> dict[str, Field]:
        """Return the fields of analyses, by their name in a result."""
        found = schema_fields(self.channel).values()
        return {one.name: analysis_field(one) for one in found if self.derived or not one.computed}

    def named(self, name: str) -> Field | None:
        """Return the field of this name; ``overall_score`` is ``analysis.overall_score``."""
        if name in RULE_FIELDS or name.startswith(("metadata.", "var.")):
            return field_named(name, self.channel)
        return self.own.get(name.removeprefix("analysis."))

    def groups(self) -> Groups:
        """Return the fields that rules may be about, in the groups of the other filters."""
        listed = [*static_fields(self.channel).values(), *self.own.values()]
        found = grouped(field for field in listed if self._may_be_about(field.name))
        sides = grouped(
            attribute_field(group, key)
            for group, keys in attribute_keys(self.channel).items()
            for key in keys
        )
        return tuple(sorted((*found, *sides), key=lambda group: _place(group[0])))

    def _may_be_about(self, name: str) -> bool:
        return name in RULE_FIELDS or name.startswith("analysis.")

    def choices(self, field: Field) -> Sequence[ValueChoice]:
        return choices_of(field, self.channel)


def grouped(listed: Iterable[Field]) -> Groups:
    """Return the fields in their groups, in the order in which groups and fields first appear."""
    found: dict[str, list[tuple[str, str]]] = {}
    for field in listed:
        found.setdefault(field.group, []).append((field.name, field.label))
    return tuple((group, tuple(options)) for group, options in found.items())


def _place(group: str) -> tuple[int, str]:
    """Return the rank of a group: the fixed fields, those of agents, metadata and variables."""
    if group in SIDE_LABELS:
        return 3, ""
    if group in {SHARED, COMPUTED}:
        return 1, group
    return (2, group) if group.startswith(OF_ONE) else (0, "")
