"""Count what rules watch: one grouped statement per rule, for a window or for many of them."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Count, DateTimeField, Func, IntegerField, Sum, Value

from apps.conversations.models import Conversation

from .conditions import Watched
from .models import Kind
from .states import Reading

USUAL = 0.9
"""The share of first analyses that are there by the end of a window."""
_SHORTEST, _LONGEST = timedelta(minutes=1), timedelta(hours=6)
_LOOKED_AT = timedelta(days=7)

_LATENCY = """
SELECT percentile_cont(%(usual)s) WITHIN GROUP (
  ORDER BY extract(epoch FROM greatest(late.analyzed_at - late.sort_at, interval '0')))
FROM (SELECT analyzed_at, sort_at FROM conversations_conversation
  WHERE channel = %(channel)s AND sort_at > %(after)s AND sort_at <= %(now)s
    AND analyzed_at IS NOT NULL AND analysis_trigger = 'initial'
  ORDER BY sort_at DESC, id DESC LIMIT 200) late
"""


@dataclass(frozen=True, slots=True)
class Sums:
    """Counts of a piece of time."""

    counted: int = 0
    matched: int = 0
    total: float = 0.0

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            self.counted + other.counted, self.matched + other.matched, self.total + other.total
        )

    def __sub__(self, other: "Sums") -> "Sums":
        return Sums(
            self.counted - other.counted, self.matched - other.matched, self.total - other.total
        )

    def reading(self, kind: str) -> Reading:
        """Return the value of a rule of this kind."""
        if kind == Kind.COUNT:
            return Reading(float(self.matched), self.counted, self.matched)
        if not self.counted:
            return Reading(None, 0)
        part = self.total if kind == Kind.AVERAGE else self.matched
        return Reading(part / self.counted, self.counted, self.matched)


#: Agent (None for all together) → sums by the index of the piece of time.
Measured = Mapping[int | None, Mapping[int, Sums]]


class _Piece(Func):
    """Which piece of time a conversation is in, counted from the start."""

    template = "floor(extract(epoch FROM (%(expressions)s)) / %(seconds)s)::int"
    arg_joiner = " - "


def measure(
    what: Watched, *, start: datetime, end: datetime, piece: timedelta, per_agent: bool
) -> Measured:
    """Count the conversations from ``start`` to before ``end``, in pieces of this length.

    A window is one piece of its own length. Conversations are placed by their start.
    """
    rows = Conversation.objects.filter(what.scope, sort_at__gte=start, sort_at__lt=end)
    totals: dict[str, Any] = {
        "n": Count("pk", filter=what.counted),
        "hits": Count("pk", filter=what.counted & what.matched),
    }
    if what.number is not None:
        rows = rows.annotate(number=what.number)
        totals["total"] = Sum("number")
    place = _Piece(
        "sort_at",
        Value(start, output_field=DateTimeField()),
        seconds=int(piece.total_seconds()),
        output_field=IntegerField(),
    )
    groups = ["place", "agent"] if per_agent else ["place"]
    counted = rows.order_by().annotate(place=place).values(*groups).annotate(**totals)
    found: dict[int | None, dict[int, Sums]] = defaultdict(dict)
    for row in counted:
        sums = Sums(row["n"], row["hits"], float(row.get("total") or 0))
        found[row.get("agent")][row["place"]] = sums
    return found


def usual_latency(channel: str, now: datetime) -> timedelta:
    """Return how long after its start a conversation usually has its result.

    That of nine in ten of the last 200, from 1 minute to 6 hours.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            _LATENCY,
            {"usual": USUAL, "channel": channel, "after": now - _LOOKED_AT, "now": now},
        )
        seconds = cursor.fetchone()[0]
    usual = timedelta(seconds=min(float(seconds or 0), _LONGEST.total_seconds()))
    return min(max(usual, _SHORTEST), _LONGEST)


def step_of(window: timedelta) -> timedelta:
    """Return how often a window of this length is evaluated."""
    if window <= timedelta(hours=6):
        return timedelta(minutes=5)
    return timedelta(minutes=15) if window <= timedelta(hours=48) else timedelta(hours=1)


def last_window_end(window: timedelta, *, now: datetime, latency: timedelta) -> datetime:
    """Return the end of the last window whose results are usually there, on a fixed grid."""
    step = int(step_of(window).total_seconds())
    seconds = int((now - latency).timestamp()) // step * step
    return datetime.fromtimestamp(seconds, tz=now.tzinfo)
