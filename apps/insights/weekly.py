"""The content of a weekly report: what changed beyond chance, and the worst conversations."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.utils import timezone

from apps.conversations.models import Conversation

from .drawings import number_delta, rate_delta, value_words
from .field_stats import ChoiceStats, FieldStats, NumberStats, RateStats, Volume
from .fields import FieldType
from .lists import ConversationList, listed
from .models import EmailReport
from .periods import Period
from .rates import Difference, Rate
from .scope import Scope, scope_of
from .stats import stats_of
from .use_cases import QUALITY_SLOTS, fill
from .volume import volume_of

SHOWN = 8
WORST = 5
SURE = 1.31
"""Half intervals of 95% that a change must exceed: the 99% interval, as many are compared."""


@dataclass(frozen=True, slots=True)
class Highlight:
    """A change of one number. ``strength`` is its size in half intervals."""

    label: str
    now: str
    before: str
    delta: str
    n: int
    interval: str
    url: str
    strength: float


@dataclass(frozen=True, slots=True)
class WeeklyReport:
    """A week against the one before."""

    report: EmailReport
    period: Period
    scope: Scope
    volume: Volume
    highlights: list[Highlight]
    worst: ConversationList | None
    worst_by: str

    @property
    def subject(self) -> str:
        return f"[Debrief] {self.report.name}: {self.period.label}"


def last_week(now: datetime) -> Period:
    """Return the seven days before today, in TIME_ZONE."""
    today: date = timezone.localdate(now)
    return Period(today - timedelta(days=7), today - timedelta(days=1))


def weekly_report(report: EmailReport, *, now: datetime) -> WeeklyReport:
    """Compute the report of the last seven days. Raises FilterError for an outdated filter."""
    period = last_week(now)
    scope = scope_of(report.channel, period, report.params, now=now)
    worst, worst_by = _worst(scope)
    return WeeklyReport(report, period, scope, volume_of(scope), highlights(scope), worst, worst_by)


def highlights(scope: Scope) -> list[Highlight]:
    """Return the largest changes since the previous period that chance hardly explains."""
    fields = [field for field in scope.fields.values() if field.type != FieldType.TEXT]
    found = [one for field in fields for one in _changes(stats_of(scope, field))]
    return sorted(found, key=lambda one: -one.strength)[:SHOWN]


def _changes(stats: FieldStats) -> Iterable[Highlight]:
    label = stats.field.label
    if isinstance(stats, RateStats):
        yield from _of_rate(label, stats.rate, stats.previous, stats.change, stats.yes_url)
    elif isinstance(stats, ChoiceStats):
        if stats.any:
            yield from _of_rate(
                f"{label} not empty", stats.any, stats.any_previous, stats.any_change, stats.any_url
            )
        for share in stats.shares:
            name = f"{label}: {share.label}"
            yield from _of_rate(name, share.rate, share.previous, share.change, share.url)
    elif isinstance(stats, NumberStats) and (strength := _strength(stats.change)):
        assert stats.previous
        assert stats.change
        assert stats.average.value is not None
        yield Highlight(
            label,
            value_words(stats.field, stats.average.value),
            value_words(stats.field, stats.previous.value or 0.0),
            number_delta(stats.field, stats.change),
            stats.n,
            f"{_signed(stats, stats.change.low)} to {_signed(stats, stats.change.high)}",
            stats.coverage.url,
            strength,
        )


def _of_rate(
    label: str, rate: Rate, previous: Rate | None, change: Difference | None, url: str
) -> Iterable[Highlight]:
    strength = _strength(change)
    if not strength or change is None or previous is None:
        return
    yield Highlight(
        label,
        f"{(rate.value or 0) * 100:.0f}%",
        f"{(previous.value or 0) * 100:.0f}%",
        rate_delta(change),
        rate.n,
        f"{change.low * 100:+.0f} to {change.high * 100:+.0f} points",
        url,
        strength,
    )


def _strength(change: Difference | None) -> float:
    """Return the size of a change in half intervals; 0 where it could be chance."""
    if change is None or not change.is_clear:
        return 0.0
    half = change.value - change.low if change.value > 0 else change.high - change.value
    strength = abs(change.value) / half if half else SURE
    return strength if strength >= SURE else 0.0


def _signed(stats: NumberStats, value: float) -> str:
    return number_delta(stats.field, Difference(value, value, value))


def _worst(scope: Scope) -> tuple[ConversationList | None, str]:
    """Return the conversations with the lowest scores, else unsuccessful ones, the latest first."""
    score = fill(QUALITY_SLOTS, scope.fields, {})["score"].field
    if score:
        params = {f"{score.filter_name}__isset": ["true"]}
        found = listed(scope, params, [score.name], lowest=score, limit=WORST)
        return found, f"lowest {score.label}"
    prefix = "chat" if scope.channel == "chat" else "call"
    params = {f"{prefix}_successful": ["false"]}
    if f"{prefix}_successful" not in scope.fields:
        return None, ""
    return listed(scope, params, [], limit=WORST), "latest unsuccessful"


def title_of(conversation: Conversation) -> str:
    """Return a line that says which conversation it is."""
    who = str(conversation.contact) if conversation.contact else conversation.agent.name
    return f"{timezone.localtime(conversation.sort_at):%a, %b %-d, %-I:%M %p} · {who}"
