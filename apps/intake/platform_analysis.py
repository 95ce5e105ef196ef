"""What becomes of the analysis that a platform made itself: a source's rule, and its record."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal, cast

from django.db import DatabaseError, transaction

from apps.accounts.actors import Actor
from apps.analysis.auto_analysis import defer_to_platform, request_first
from apps.analysis.imports import Imported, record_imported
from apps.analysis.models import Analysis
from apps.conversations.inputs import ConversationInput, LineRefused
from apps.conversations.models import AnalysisState, Attributes, Conversation, Trigger
from apps.conversations.services import Result, Stored, StoreOutcome
from apps.core.database import is_passing, reason_to_reject

Rule = Literal["theirs", "ours", "wait"]
KEPT_AS = "platform_analysis"
"""The key of the metadata under which a platform's own analysis is stored that is not shown as the
result."""


@dataclass(frozen=True, slots=True)
class PlatformRule:
    """An intake source's rule: whose analysis of a conversation becomes its result.

    - `theirs`: the platform's result is stored as imported, and Debrief requests no analysis
      automatically.
    - `ours`: the platform's result is stored in the metadata under `platform_analysis`, and an
      analysis is requested when the conversation ends.
    - `wait`: as `theirs`, but an analysis is requested if no result arrives in `wait_minutes`.

    `final`: the platform sends nothing more about this conversation, so there is no wait.
    """

    rule: Rule
    wait_minutes: int = 10
    final: bool = False

    @property
    def awaits_theirs(self) -> bool:
        return self.rule != "ours"

    def analyze_at(self, now: datetime) -> datetime | None:
        """Return when our analysis is due of what ends ``now``; None: never automatically.

        The minutes count from when we hear of the end: an event that a platform delivers late is
        followed by its analysis as late.
        """
        if self.rule == "theirs":
            return None
        if self.rule == "ours" or self.final:
            return now
        return now + timedelta(minutes=self.wait_minutes)

    def applied(self, line: ConversationInput) -> ConversationInput:
        """Return the line as it is stored: the rule `ours` drops the platform's result."""
        if self.rule != "ours" or not line.analysis:
            return line
        return replace(line, analysis=None, metadata={**line.metadata, KEPT_AS: line.analysis})


def rule_named(name: str, wait_minutes: int) -> PlatformRule:
    """Return the rule as a source's columns hold it, which the database limits to the three."""
    return PlatformRule(cast("Rule", name), wait_minutes)


RulesOf = Callable[[Iterable[int]], Mapping[int, PlatformRule]]
"""Finds the rules of conversations that came from a source; others are not in the result."""


def record_theirs(
    found: Sequence[tuple[Stored, Mapping[str, Any]]], *, by: Actor, rule: PlatformRule | None
) -> dict[int, LineRefused | None]:
    """Record what platforms found, by conversation: None, or why it could not be stored.

    A result that is there already is not recorded again, and none that Debrief itself made is
    replaced: by a source's ``rule``, the platform's is then stored in the metadata.
    """
    known = [s.conversation.pk for s, _ in found if s.outcome != StoreOutcome.ACCEPTED]
    current = _current(known)
    by_pk = {}
    for stored, analysis in found:
        conversation = stored.conversation
        if _is_news(current.get(conversation.pk), analysis):
            by_pk[conversation.pk] = Imported(conversation, analysis, at=conversation.ended_at)
        elif rule and current[conversation.pk][0] != Trigger.IMPORTED:
            keep_beside(conversation, analysis)
    if not by_pk:
        return {}
    try:
        with transaction.atomic():
            record_imported(list(by_pk.values()), by=by)
        return dict.fromkeys(by_pk)
    except DatabaseError:
        return {pk: _record_alone(result, by) for pk, result in by_pk.items()}


def keep_beside(conversation: Conversation, analysis: Mapping[str, Any]) -> None:
    """Keep what a platform found in the metadata, where a result of Debrief is the current one."""
    attributes, _ = Attributes.objects.get_or_create(conversation=conversation)
    if attributes.metadata.get(KEPT_AS) != analysis:
        attributes.metadata = {**attributes.metadata, KEPT_AS: dict(analysis)}
        attributes.save(update_fields=["metadata"])


def _current(conversations: Sequence[int]) -> dict[int, tuple[str, Any]]:
    if not conversations:
        return {}
    rows = Analysis.objects.current().filter(conversation__in=conversations)
    return {row.conversation_id: _as_imported(row) for row in rows}


def _as_imported(current: Analysis) -> tuple[str, dict[str, Any]]:
    """Return the trigger and the values of a result as they came in, without derived fields.

    An imported result whose derived fields were recomputed is still an imported one.
    """
    imported = current.trigger == Trigger.COMPUTED and current.config_id is None
    return Trigger.IMPORTED.value if imported else current.trigger, current.own_output


def _is_news(current: tuple[str, Any] | None, analysis: Mapping[str, Any]) -> bool:
    if current is None:
        return True
    trigger, output = current
    return trigger == Trigger.IMPORTED and output != analysis


def _record_alone(result: Imported, by: Actor) -> LineRefused | None:
    try:
        with transaction.atomic():
            record_imported([result], by=by)
    except DatabaseError as error:
        if is_passing(error):
            raise  # nothing is wrong with it: whoever sends it again is heard
        reason = reason_to_reject(error)
        return LineRefused(
            "invalid_value", f"Couldn't store analysis: {reason}. The rest is stored.", "analysis"
        )
    return None


def write_reasons(
    results: Iterable[Result],
    imported: Mapping[int, LineRefused | None],
    *,
    rule: PlatformRule | None,
    analyze: bool,
) -> None:
    """Store the reason of conversations that aren't analyzed immediately.

    Either a platform's result is awaited, or no model is to be asked. Under the rule `ours`, the
    request finds its own reasons.
    """
    final = rule is not None and rule.final
    waiting = [
        result.conversation.pk
        for result in results
        if isinstance(result, Stored)
        and (final or result.outcome != StoreOutcome.UNCHANGED)
        and result.conversation.has_ended
        and result.conversation.analysis_state == AnalysisState.NONE
        and result.conversation.pk not in imported
    ]
    if not waiting:
        return
    if not analyze:
        request_first(conversation_ids=waiting, ask=False)
    elif rule and rule.awaits_theirs:
        never_comes = final and rule.rule == "theirs"
        defer_to_platform(conversation_ids=waiting, never_comes=never_comes)
