"""Ingest conversations: read, store, and give each its first result.

A result that another platform made is stored as *imported*; what ended without one gets its
first analysis, or the reason why not. A conversation that was erased is rejected.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import Any, ClassVar, TypeVar

from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from apps.accounts.actors import Actor
from apps.agents.models import Agent
from apps.analysis.auto_analysis import FirstAnalyses
from apps.conversations.inputs import ConversationInput, LineRefused
from apps.conversations.models import Conversation
from apps.conversations.orphans import delete_orphans
from apps.conversations.services import (
    GROUP,
    Result,
    Stored,
    StoreOutcome,
    StoreTimes,
    store_conversations,
    stored_of,
)
from apps.core.database import is_lost
from apps.webhooks import outbox

from .models import Erased
from .parser import read_conversation, read_line
from .platform_analysis import PlatformRule, record_theirs, write_reasons

RawLine = str | bytes | Mapping[str, Any] | ConversationInput
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


def _is_blank(line: RawLine) -> bool:
    return isinstance(line, str | bytes) and not line.strip()


def _count_refusal(report: IngestReport, refusal: RejectedLine) -> None:
    report.refused += 1
    if len(report.errors) < MAX_ERRORS:
        report.errors.append(refusal)


def _store_lines(
    lines: Sequence[RawLine], options: IngestOptions, report: IngestReport
) -> list[Result]:
    """Read and store lines, and add to the report. Return the result of each."""
    read = _refuse_erased([_read(line, options.source) for line in lines])
    results = _store_read(
        [line for line in read if isinstance(line, ConversationInput)], options, report
    )
    for stored in stored_of(results):
        setattr(report, stored.outcome, getattr(report, stored.outcome) + 1)
    following = iter(results)
    return [line if isinstance(line, LineRefused) else next(following) for line in read]


def _store_read(
    lines: Sequence[ConversationInput], options: IngestOptions, report: IngestReport
) -> list[Result]:
    """Store conversations in one transaction, with the results of other platforms and the requests
    for analyses that are due."""
    rule, clock = options.platform_analysis, options.clock()
    ruled = [rule.applied(line) for line in lines] if rule else lines
    with transaction.atomic(savepoint=False):  # whoever calls in a transaction ends it then
        first = FirstAnalyses(clock.now)
        stored = store_conversations(
            lines=ruled,
            default_agents=_default_agents(ruled, options),
            clock=clock,
            on_new=first.decide,
            guarded=options.guarded,
        )
        results = _undo_reingested(stored)
        imported = _record_theirs(ruled, results, options)
        outcomes = [_settled(result, imported) for result in results]
        if rule is not None or not options.analyze:
            write_reasons(outcomes, imported, rule=rule, analyze=options.analyze)
        if options.analyze:
            ended = [one.conversation.pk for one in stored_of(results) if one.ended]
            outbox.announce_ended(ended, now=clock.now)
            rows = [one.conversation for one in stored_of(results)]
            report.to_analyze += first.request(rows, changed=imported)
    return outcomes


def _read(line: RawLine, source: str) -> ConversationInput | LineRefused:
    try:
        if isinstance(line, ConversationInput):
            return line
        if isinstance(line, str | bytes):
            return read_line(line, source=source)
        return read_conversation(line, source=source)
    except LineRefused as refusal:
        return refusal


def _default_agents(lines: Iterable[ConversationInput], options: IngestOptions) -> dict[str, Agent]:
    """Return the default agents of the channels in which a line names none."""
    channels = {line.channel for line in lines if not line.agent}
    defaults = ((channel, options.default_agents.get(channel)) for channel in channels)
    return {channel: agent for channel, agent in defaults if agent is not None}


def _record_theirs(
    lines: Sequence[ConversationInput], results: Sequence[Result], options: IngestOptions
) -> dict[int, LineRefused | None]:
    """Record the results of other platforms, by conversation: None, or why one is rejected."""
    theirs = [
        (result, line.analysis)
        for line, result in zip(lines, results, strict=True)
        if isinstance(result, Stored) and line.analysis
    ]
    rule = options.platform_analysis
    return record_theirs(theirs, by=options.by, rule=rule) if theirs else {}


def _settled(result: Result, imported: Mapping[int, LineRefused | None]) -> Result:
    """Return what the report says of a line: a new imported result is an update too."""
    if isinstance(result, LineRefused) or result.conversation.pk not in imported:
        return result
    if refusal := imported[result.conversation.pk]:
        return refusal
    if result.outcome == StoreOutcome.UNCHANGED:
        return Stored(result.conversation, StoreOutcome.UPDATED, result.route)
    return result


# Erased conversations: remembered by a keyed hash, which says nothing to anyone who does not know
# the conversation's source and ID (decision 0017). A platform may send one once more.

ERASED = "erased"
"""The error code of an erased conversation. A line rejected with it is stored nowhere."""
REMEMBERED = timedelta(days=90)
"""How long an erased conversation is recognized; platforms stop sending again after days."""


class ConversationErased(LineRefused):
    """Raised when a conversation arrives that was erased. Platforms get a success response, so
    that they stop sending it."""

    status: ClassVar[int] = 409

    def __init__(self) -> None:
        super().__init__(
            ERASED,
            "This conversation was erased and can’t be sent again for 90 days. To send a new "
            "conversation, use a different external_id.",
        )


def remember_erased(conversations: Iterable[Conversation]) -> None:
    """Remember that these conversations were erased, in the caller's transaction."""
    now = timezone.now()
    Erased.objects.bulk_create(
        [Erased(digest=_digests(*_key_of(one))[0], at=now) for one in conversations],
        update_conflicts=True,
        unique_fields=["digest"],
        update_fields=["at"],
    )


def is_erased(*, source: str, external_id: str) -> bool:
    """Return whether a conversation was erased recently and must not come back."""
    return bool(_erased_among([(source, external_id)]))


def _erased_among(keys: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return those of the (source, external ID) that were erased and must not come back."""
    by_digest = {d: key for key in keys if key[1] for d in _digests(*key)}
    if not by_digest:
        return set()
    with connection.cursor() as cursor:  # raw: it runs twice for every conversation that arrives
        cursor.execute("SELECT digest FROM intake_erased WHERE digest = ANY(%s)", [list(by_digest)])
        return {by_digest[bytes(digest)] for (digest,) in cursor}


def _refuse_erased(
    lines: Sequence[ConversationInput | LineRefused],
) -> list[ConversationInput | LineRefused]:
    """Return the lines of one group, with an error in the place of each that was erased."""
    keys = [_key_of(line) if isinstance(line, ConversationInput) else None for line in lines]
    gone = _erased_among(key for key in keys if key)
    return [
        ConversationErased() if key in gone else line for key, line in zip(keys, lines, strict=True)
    ]


def _undo_reingested(results: Sequence[Result]) -> list[Result]:
    """Delete conversations that were stored while they were being erased.

    Such an erasure committed after `_refuse_erased` looked and before the row was written. This
    runs in the transaction that stored them, so it sees every such erasure.
    """
    fresh = [r.conversation for r in stored_of(results) if r.outcome == StoreOutcome.ACCEPTED]
    gone = _erased_among(_key_of(c) for c in fresh)
    if not gone:
        return list(results)
    again = [c for c in fresh if _key_of(c) in gone]
    Conversation.objects.filter(pk__in=[c.pk for c in again]).delete()
    delete_orphans(c.contact_id for c in again if c.contact_id)
    return [
        ConversationErased() if isinstance(r, Stored) and r.conversation in again else r
        for r in results
    ]


def forget_erased(*, now: datetime) -> int:
    """Delete what no platform is expected to send any longer. Return how many."""
    deleted, _ = Erased.objects.filter(at__lt=now - REMEMBERED).delete()
    return deleted


def _key_of(line: ConversationInput | Conversation) -> tuple[str, str]:
    return line.source, line.external_id


def _digests(source: str, external_id: str) -> list[bytes]:
    """Return keyed hashes, by the current SECRET_KEY first, then by earlier ones."""
    text = f"{source}\0{external_id}".encode(errors="surrogatepass")
    keys = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return [hmac.digest(_key(key), text, "sha256") for key in keys]


@lru_cache(maxsize=8)
def _key(secret: str) -> bytes:
    return hashlib.sha256(b"debrief erased conversations\0" + secret.encode()).digest()
