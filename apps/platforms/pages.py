"""Read what the pages of sources and payloads show."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, OuterRef, Subquery
from django.utils import timezone

from apps.core.display import json_pretty

from .models import IntakePayload, IntakeSource, PayloadState, SourceAgent
from .payloads import TAKEN_KEPT

RECENTLY = timedelta(hours=24)
SHOWN = 100_000
"""Characters of a payload on its page; the download has all of it."""
PER_PAGE = 50
_TURNING = {
    code: f"\\u{code:04x}"
    for code in (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}

CODES = {
    "": "other",
    "bad_signature": "wrong signature",
    "invalid_value": "invalid value",
    "missing_field": "missing field",
    "no_secret": "secret not set",
    "not_an_object": "not an object",
    "not_json": "not JSON",
    "unfinished": "interrupted",
    "unknown_agent": "unknown agent",
    "unreadable_transcript": "unreadable transcript",
}
"""Reasons of rejections in two words; any other code is read as it is written."""


def code_words(code: str) -> str:
    """Return a code of a rejection as people read it."""
    return CODES.get(code) or code.replace("_", " ")


@dataclass(frozen=True, slots=True)
class SourceLine:
    """One source in the list, with its payloads of the last 24 hours."""

    source: IntakeSource
    arrived: int
    refused: int
    last_seen: datetime | None


def source_lines() -> list[SourceLine]:
    """Return every source by name, in two queries."""
    newest = IntakePayload.objects.filter(source=OuterRef("pk")).order_by("-received_at", "-pk")
    sources = IntakeSource.objects.defer("secret_encrypted").annotate(
        last_seen=Subquery(newest.values("received_at")[:1])
    )
    counts: Counter[tuple[int, str]] = Counter()
    recent = IntakePayload.objects.since(timezone.now() - RECENTLY).exclude(source=None)
    for source, state, number in recent.values_list("source", "state").annotate(n=Count("pk")):
        counts[source, state] = number
    return [
        SourceLine(
            source,
            sum(counts[source.pk, state] for state in PayloadState.values),
            counts[source.pk, PayloadState.REFUSED],
            source.last_seen,
        )
        for source in sources
    ]


@dataclass(frozen=True, slots=True)
class RejectionCount:
    """Rejections of one kind."""

    code: str
    words: str
    count: int


@dataclass(frozen=True, slots=True)
class RejectionSummary:
    """The overview: rejections of the last 24 hours, the most frequent first."""

    kinds: list[RejectionCount] = field(default_factory=list)

    @property
    def refused(self) -> int:
        return sum(kind.count for kind in self.kinds)


def summary() -> RejectionSummary:
    """Return what all receivers rejected in the last 24 hours, by its kind."""
    recent = IntakePayload.objects.refused().since(timezone.now() - RECENTLY)
    return RejectionSummary(kinds_of(recent.values_list("code").annotate(n=Count("pk"))))


def kinds_of(counts: Iterable[tuple[str, int]]) -> list[RejectionCount]:
    """Counts by code as lines, the most frequent first."""
    kinds = [RejectionCount(code, code_words(code), number) for code, number in counts]
    return sorted(kinds, key=lambda kind: (-kind.count, kind.words))


@dataclass(frozen=True, slots=True)
class PayloadText:
    """A payload's content as its page shows it."""

    text: str
    size: int
    is_cut: bool


def shown(payload: IntakePayload) -> PayloadText:
    """Return indented JSON; other text as received, bytes that aren't text as escapes.

    Characters that turn the direction of what follows are written as escapes too: on this page
    no one should read anything but the received text.
    """
    if payload.raw is not None:
        text = bytes(payload.raw).decode(errors="backslashreplace").replace("\0", "\\x00")
    else:
        text = json_pretty(payload.body)
    is_cut = len(text) > SHOWN
    return PayloadText(
        text[:SHOWN].translate(_TURNING), payload.size or len(content(payload)), is_cut
    )


def content(payload: IntakePayload) -> bytes:
    """The payload to take away: the bytes as they came, or the JSON that they held."""
    if payload.raw is not None:
        return bytes(payload.raw)
    return json.dumps(payload.body, ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True)
class Arrival:
    """Whether a new source works: its last payload, and whether any was right so far."""

    last: IntakePayload | None
    taken: bool

    silent: bool = False
    """It worked long ago, or never did: nothing that is stored came since."""

    @property
    def waiting(self) -> bool:
        """Return whether the page should ask again."""
        return not self.taken


def arrival(source: IntakeSource) -> Arrival:
    """Return how far the setting up of a source has come."""
    rows = IntakePayload.objects.filter(source=source)
    last = rows.for_list().order_by("-received_at", "-pk").first()
    if last is None:
        return Arrival(None, taken=False, silent=source.created_at < timezone.now() - TAKEN_KEPT)
    if last.state == PayloadState.TAKEN:
        return Arrival(last, taken=True)
    return Arrival(last, rows.filter(state=PayloadState.TAKEN).exists())


def mapped_agents(source: IntakeSource) -> Sequence[SourceAgent]:
    """Return the platform's agents that are known, those that no one has set up first."""
    rows = SourceAgent.objects.filter(source=source).select_related("agent")
    return list(rows.order_by("-agent__unconfigured", "agent__name", "external_id"))


@dataclass(frozen=True, slots=True)
class Removal:
    """What goes with a source, and what stays."""

    payloads: int
    refused: int
    agents: int
    conversations: int


def removal(source: IntakeSource) -> Removal:
    """Return the numbers that the dialog confirms."""
    rows = IntakePayload.objects.filter(source=source)
    return Removal(
        payloads=rows.count(),
        refused=rows.refused().count(),
        agents=SourceAgent.objects.filter(source=source).count(),
        conversations=rows.exclude(conversation=None).values("conversation").distinct().count(),
    )


def receiver_of(payload: IntakePayload) -> str:
    """Return the label of the receiver through which a payload arrived."""
    return payload.source.name if payload.source else payload.get_upload_channel_display()


def replay_counts(rows: Any) -> tuple[int, int, list[RejectionCount]]:
    """Count payloads that can be replayed, and truncated ones. Return them with the reasons."""
    refused = rows.refused().filter(replay_asked_by="")
    groups = list(refused.values_list("code", "cut").annotate(n=Count("pk")))
    kinds: Counter[str] = Counter()
    for code, cut, number in groups:
        kinds[code] += 0 if cut else number
    whole = sum(number for _, cut, number in groups if not cut)
    cut_ones = sum(number for _, cut, number in groups if cut)
    return whole, cut_ones, [kind for kind in kinds_of(kinds.items()) if kind.count]
