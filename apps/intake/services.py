"""Ingest conversations: read, store, and give each its first result.

A result that another platform made is stored as *imported*; what ended without one gets its
first analysis, or the reason why not.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

from django.db import DatabaseError, transaction
from django.utils import timezone

from apps.accounts.actors import Actor
from apps.agents.models import Agent, Channel
from apps.agents.services import create_agent
from apps.analysis.auto_analysis import FirstAnalyses, defer_to_platform, request_first
from apps.analysis.imports import Imported, record_imported
from apps.analysis.models import Analysis
from apps.conversations.inputs import ConversationInput, LineRefused
from apps.conversations.models import AnalysisState, Trigger
from apps.conversations.services import (
    GROUP,
    Stored,
    StoreOutcome,
    StoreTimes,
    store_conversations,
    stored_of,
)
from apps.core.database import is_lost, is_passing, reason_to_reject

from . import lifecycle
from .erased import ERASED, refuse_erased, undo_reingested
from .parser import read_conversation, read_line
from .platform_rule import PlatformRule, keep_beside

RawLine = str | bytes | Mapping[str, Any] | ConversationInput
IngestResult = Stored | LineRefused
T = TypeVar("T")
MAX_ERRORS = 1_000
"""Rejections that a report names one by one; beyond, they are counted."""


@dataclass(frozen=True, slots=True)
class RejectedLine:
    """A line that was not ingested; ``line`` counts from 1."""

    line: int
    code: str
    message: str


@dataclass(slots=True)
class IngestReport:
    """The result for all lines, in the words of the bulk upload."""

    accepted: int = 0
    updated: int = 0
    unchanged: int = 0
    refused: int = 0
    errors: list[RejectedLine] = field(default_factory=list)
    to_analyze: int = 0

    @property
    def total(self) -> int:
        return self.accepted + self.updated + self.unchanged + self.refused


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """How a receiver ingests lines."""

    by: Actor
    source: str
    default_agents: Mapping[str, Agent] = field(default_factory=dict)
    analyze: bool = True
    platform_analysis: PlatformRule | None = None
    now: datetime | None = None
    guarded: bool = True
    """Whether an error of the database rejects a line, rather than ending the transaction."""

    def clock(self) -> StoreTimes:
        """Return the moment at which a group arrives, and when the analysis of what ends is due."""
        now = self.now or timezone.now()
        if not self.analyze:
            return StoreTimes(now, None)
        rule = self.platform_analysis
        return StoreTimes(now, rule.analyze_at(now) if rule else now)


def ingest(
    *,
    lines: Iterable[RawLine],
    by: Actor,
    source: str = "api",
    default_agents: Mapping[str, Agent] | None = None,
    on_refused: Callable[[RejectedLine, RawLine], None] | None = None,
    on_progress: Callable[[IngestReport], None] | None = None,
    analyze: bool = True,
    platform_analysis: PlatformRule | None = None,
    now: datetime | None = None,
) -> IngestReport:
    """Ingest any number of lines; blank ones are skipped but counted as lines.

    Groups are committed as they come, so an interrupted upload stores complete groups, and sending
    all of it again changes nothing. ``default_agents`` (by channel) are used for lines without
    an agent. ``on_refused`` gets every rejection with its line. ``platform_analysis`` is the rule
    for results in the lines; None: they are stored as imported. Without ``analyze`` no model is
    asked and no event is sent.
    """
    agents = {} if default_agents is None else default_agents
    options = IngestOptions(by, source, agents, analyze, platform_analysis, now)
    report = IngestReport()
    numbered = ((n, line) for n, line in enumerate(lines, 1) if not _is_blank(line))
    while group := list(islice(numbered, GROUP)):
        results = _store_lines([line for _, line in group], options, report)
        for (number, line), result in zip(group, results, strict=True):
            if isinstance(result, LineRefused):
                refusal = RejectedLine(number, result.code, result.message)
                _count_refusal(report, refusal)
                if on_refused and result.code != ERASED:
                    on_refused(refusal, line)
        if on_progress:
            on_progress(report)
    return report


def ingest_one(
    *,
    line: RawLine,
    by: Actor,
    source: str = "api",
    platform_analysis: PlatformRule | None = None,
    now: datetime | None = None,
) -> Stored:
    """Ingest one conversation, all or nothing. Raises LineRefused."""
    options = IngestOptions(by, source, platform_analysis=platform_analysis, now=now)
    return in_one_transaction(lambda guarded: store_one(line, replace(options, guarded=guarded)))


def store_one(line: RawLine, options: IngestOptions) -> Stored:
    """Ingest one conversation in the caller's transaction, which is to end where this raises.

    Raises LineRefused, and DatabaseError where it isn't guarded.
    """
    (result,) = _store_lines([line], options, IngestReport())
    if isinstance(result, LineRefused):
        raise result
    return result


def in_one_transaction(store: Callable[[bool], T]) -> T:
    """Return what ``store`` returns, which it does in one transaction.

    First with False: not guarded by savepoints, each of which costs as much as a lookup. Where the
    database rejects something, again with True.
    """
    try:
        with transaction.atomic():
            return store(False)  # noqa: FBT003 (documented above)
    except DatabaseError as error:
        if is_lost(error):
            raise
    with transaction.atomic():
        return store(True)  # noqa: FBT003


def default_agents(*, source: str, by: Actor) -> "DefaultAgents":
    """Agents for lines that name none, one per channel, made when they are first needed."""
    return DefaultAgents(source, by)


class DefaultAgents(Mapping[str, Agent]):
    """“Imported calls” and “Imported chats”, or those words with the source's name."""

    def __init__(self, source: str, by: Actor) -> None:
        self.source = source
        self.by = by
        self._made: dict[str, Agent] = {}

    def __getitem__(self, channel: str) -> Agent:
        if channel not in self._made:
            if channel not in Channel.values:
                raise KeyError(channel)
            self._made[channel] = self._agent(channel)
        return self._made[channel]

    def __iter__(self) -> Iterator[str]:
        return iter(self._made)

    def __len__(self) -> int:
        return len(self._made)

    def _agent(self, channel: str) -> Agent:
        what = "Imported calls" if channel == Channel.VOICE else "Imported chats"
        name = what if self.source == "import" else f"{what}: {self.source}"
        found = Agent.objects.filter(name=name, channel=channel).order_by("pk").first()
        return found or create_agent(name=name, channel=channel, by=self.by)


def _is_blank(line: RawLine) -> bool:
    return isinstance(line, str | bytes) and not line.strip()


def _count_refusal(report: IngestReport, refusal: RejectedLine) -> None:
    report.refused += 1
    if len(report.errors) < MAX_ERRORS:
        report.errors.append(refusal)


def _store_lines(
    lines: Sequence[RawLine], options: IngestOptions, report: IngestReport
) -> list[IngestResult]:
    """Store lines in one transaction, with the results of other platforms and the requests for
    analyses that are due. Add to the report."""
    read = refuse_erased([_read(line, options.source) for line in lines])
    rule, clock = options.platform_analysis, options.clock()
    good = [line for line in read if isinstance(line, ConversationInput)]
    ruled = [rule.applied(line) for line in good] if rule else good
    with transaction.atomic(savepoint=False):  # whoever calls in a transaction ends it then
        defaults = _needed(ruled, options)
        first = FirstAnalyses(clock.now)
        stored = store_conversations(
            lines=ruled,
            default_agents=defaults,
            clock=clock,
            on_new=first.decide,
            guarded=options.guarded,
        )
        results = undo_reingested(stored)
        pairs = list(zip(ruled, results, strict=True))
        imported = _import_results(pairs, options)
        outcomes = [_settled(result, imported) for result in results]
        if rule is not None or not options.analyze:
            _write_reasons(outcomes, imported, options)
        if options.analyze:
            ended = [r.conversation.pk for r in results if isinstance(r, Stored) and r.ended]
            lifecycle.announce_ended(ended, now=clock.now)
            rows = [one.conversation for one in stored_of(results)]
            report.to_analyze += first.request(rows, changed=imported)
    for result in outcomes:
        if isinstance(result, Stored):
            setattr(report, result.outcome, getattr(report, result.outcome) + 1)
    following = iter(outcomes)
    return [line if isinstance(line, LineRefused) else next(following) for line in read]


def _read(line: RawLine, source: str) -> ConversationInput | LineRefused:
    try:
        if isinstance(line, ConversationInput):
            return line
        if isinstance(line, str | bytes):
            return read_line(line, source=source)
        return read_conversation(line, source=source)
    except LineRefused as refusal:
        return refusal


def _needed(lines: Iterable[ConversationInput], options: IngestOptions) -> dict[str, Agent]:
    """Return the default agents of the channels in which a line names none."""
    channels = {line.channel for line in lines if not line.agent}
    defaults = ((channel, options.default_agents.get(channel)) for channel in channels)
    return {channel: agent for channel, agent in defaults if agent is not None}


def _settled(result: IngestResult, imported: Mapping[int, LineRefused | None]) -> IngestResult:
    """Return what the report says of a line: a new imported result is an update too."""
    if isinstance(result, LineRefused) or result.conversation.pk not in imported:
        return result
    if refusal := imported[result.conversation.pk]:
        return refusal
    if result.outcome == StoreOutcome.UNCHANGED:
        return Stored(result.conversation, StoreOutcome.UPDATED, result.route)
    return result


def _import_results(
    pairs: Sequence[tuple[ConversationInput, IngestResult]], options: IngestOptions
) -> dict[int, LineRefused | None]:
    """Record what other platforms found. By conversation: None, or why it could not be stored.

    A result that is there already is not recorded again, and none that Debrief itself made is
    replaced.
    """
    wanted = [
        (result, line.analysis)
        for line, result in pairs
        if isinstance(result, Stored) and line.analysis
    ]
    known = [r.conversation.pk for r, _ in wanted if r.outcome != StoreOutcome.ACCEPTED]
    current = _current(known)
    by_pk = {}
    for result, analysis in wanted:
        conversation = result.conversation
        if _is_news(current.get(conversation.pk), analysis):
            by_pk[conversation.pk] = Imported(conversation, analysis, at=conversation.ended_at)
        elif options.platform_analysis and current[conversation.pk][0] != Trigger.IMPORTED:
            keep_beside(conversation, analysis)
    if not by_pk:
        return {}
    try:
        with transaction.atomic():
            record_imported(list(by_pk.values()), by=options.by)
        return dict.fromkeys(by_pk)
    except DatabaseError:
        return {pk: _import_alone(result, options.by) for pk, result in by_pk.items()}


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


def _import_alone(result: Imported, by: Actor) -> LineRefused | None:
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


def _write_reasons(
    results: Iterable[IngestResult],
    imported: Mapping[int, LineRefused | None],
    options: IngestOptions,
) -> None:
    """Store the reason of conversations that aren't analyzed immediately: a platform's result is
    awaited, or no model is to be asked. By the rule *ours* the request finds its own reasons."""
    rule = options.platform_analysis
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
    if not options.analyze:
        request_first(conversation_ids=waiting, ask=False)
    elif rule and rule.awaits_theirs:
        never_comes = final and rule.rule == "theirs"
        defer_to_platform(conversation_ids=waiting, never_comes=never_comes)
