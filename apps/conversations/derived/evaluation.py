"""Compute derived fields of conversations, by one query for all of them."""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import BooleanField, Case, Value, When

from apps.agents.models import DerivedField
from apps.conversations.filters import RuleFields
from apps.conversations.models import Conversation, ConversationQuerySet

from .definitions import Definition, InvalidDerivedField, definition_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ResultFacts:
    """A result whose derived fields are wanted; ``asked`` are the fields of its config."""

    conversation_id: int
    channel: str
    agent_id: int
    asked: Collection[str]


def definitions(fields: Iterable[DerivedField] | None = None) -> list[Definition]:
    """Return the definitions of stored fields, all by default.

    One that reads a field that no schema has anymore is left out, with a warning in the log.
    """
    rows = list(DerivedField.objects.all() if fields is None else fields)
    sources = {row.channel: RuleFields(row.channel, derived=False) for row in rows}
    found = []
    for row in rows:
        try:
            found.append(definition_of(row, sources[row.channel]))
        except InvalidDerivedField as error:
            logger.warning("Derived field %s can't be computed: %s", row.name, error.message)
    return found


def with_matches(
    rows: ConversationQuerySet, wanted: Sequence[Definition]
) -> tuple[ConversationQuerySet, list[str]]:
    """Annotate each check of the definitions as a boolean; return their names in order too."""
    conditions = [check.rule.q for definition in wanted for check in definition.checks]
    names = [f"match_{number}" for number in range(len(conditions))]
    matches = {
        name: Case(When(q, then=Value(True)), default=Value(False), output_field=BooleanField())  # noqa: FBT003
        for name, q in zip(names, conditions, strict=True)
    }
    return rows.annotate(**matches), names


def derive(facts: Sequence[ResultFacts], wanted: Sequence[Definition]) -> dict[int, dict[str, Any]]:
    """Return the derived values of conversations' current results, by conversation.

    Rules read the result columns of the conversations: they must be written before.
    """
    if not facts or not wanted:
        return {}
    matched = _matches([one.conversation_id for one in facts], wanted)
    return {
        one.conversation_id: values_for(one, wanted, matched[one.conversation_id])
        for one in facts
        if one.conversation_id in matched
    }


def values_for(
    facts: ResultFacts, wanted: Sequence[Definition], matches: Sequence[bool]
) -> dict[str, Any]:
    """Return the values of a result by the checks that match, those of all definitions in turn."""
    found: dict[str, Any] = {}
    place = 0
    for definition in wanted:
        own = matches[place : place + len(definition.checks)]
        place += len(definition.checks)
        if definition.applies(channel=facts.channel, agent_id=facts.agent_id, asked=facts.asked):
            found |= definition.values(own)
    return found


def _matches(ids: Sequence[int], wanted: Sequence[Definition]) -> Mapping[int, Sequence[bool]]:
    rows, names = with_matches(Conversation.objects.filter(pk__in=ids).order_by(), wanted)
    return {pk: found for pk, *found in rows.values_list("pk", *names)}
