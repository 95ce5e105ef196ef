"""Insights: statistics of conversations and of the fields of their analyses."""

from datetime import UTC
from typing import Annotated, Literal, Self

from apps.agents.models import Channel
from apps.core.schemas import Count, Json, Money, Schema, Time, eg
from apps.insights.field_stats import (
    Change,
    ChoiceStats,
    Coverage,
    FieldStats,
    Group,
    NumberPoint,
    NumberStats,
    RatePoint,
    RateStats,
    Share,
    SharePoint,
    Volume,
    VolumePoint,
)
from apps.insights.rates import Average, Difference, Rate
from apps.insights.scope import Scope

_FIELDS: Json = {
    "resolved": {
        "type": "boolean",
        "how": "Share of yes among the conversations with a yes or no.",
        "total": 1240,
        "n": 1180,
        "left_out": {"no_speech": 18, "no_value": 42},
        "rate": 0.72,
        "low": 0.694,
        "high": 0.745,
        "previous": {"n": 1010, "rate": 0.69},
        "change": {"value": 0.03, "low": -0.008, "high": 0.068, "is_clear": False},
        "series": [{"at": "2025-01-18T00:00:00Z", "n": 40, "rate": 0.7}],
    },
    "topic": {"type": "choice", "n": 1180, "counts": {"billing": 700, "technical": 480}},
    "overall_score": {"type": "number", "n": 1180, "mean": 76.2, "median": 78, "histogram": []},
}


class InsightsPoint(Schema):
    """Conversations of one hour, day, week, or month."""

    at: Annotated[Time, eg("2025-01-18T00:00:00Z")]
    conversations: Count
    analyzed: Count
    failed: Count
    cost: Annotated[Money, eg("0.84")]

    @classmethod
    def from_point(cls, point: VolumePoint) -> Self:
        """Return one part of the period."""
        return cls(
            at=point.bucket.start,
            conversations=point.conversations,
            analyzed=point.analyzed,
            failed=point.failed,
            cost=str(point.cost),
        )


class InsightsChange(Schema):
    """A change of an agent's prompts, fields, or model."""

    at: Annotated[Time, eg("2025-01-18T16:00:00Z")]
    agent: Annotated[str, eg("Billing line")]
    what: Annotated[str, eg("Draft saved: 2 prompts changed")]

    @classmethod
    def from_change(cls, change: Change) -> Self:
        """Return one change."""
        return cls(at=change.at, agent=change.agent, what=change.what)


class PreviousVolume(Schema):
    """The same of the previous period."""

    conversations: Count
    analyzed: Count
    failed: Count
    cost: Annotated[Money, eg("24.10")]


class Insights(Schema):
    """Statistics of the conversations of a period."""

    channel: Annotated[Channel | None, eg("voice")]
    start: Annotated[Time, eg("2025-01-01T00:00:00Z")]
    end: Annotated[Time, eg("2025-01-31T00:00:00Z")]
    """The first moment after the period."""
    clock: Annotated[Literal["started", "analyzed"], eg("started")]
    bucket: Annotated[Literal["hour", "day", "week", "month"], eg("day")]
    """The size of the parts of `series`. It follows the length of the period."""
    conversations: Annotated[Count, eg(1240)]
    analyzed: Annotated[Count, eg(1180)]
    left_out: Annotated[dict[str, Count], eg({"no_speech": 18, "timeout": 42})]
    """Conversations without a result, by reason. With `analyzed` they add up to `conversations`."""
    failures: Annotated[dict[str, Count], eg({"timeout": 42})]
    """Those whose analysis failed, by error code."""
    cost: Annotated[Money, eg("26.40")]
    """The current results together. `unpriced` of them have no known cost."""
    unpriced: Annotated[Count, eg(0)]
    previous: PreviousVolume | None
    """With `compare=previous`: as much time just before, as much of it as has passed."""
    series: list[InsightsPoint]
    groups: Annotated[dict[str, Count], eg({})]
    """With `by`: conversations by value of that field, at most twelve. An empty name means no
    value. Each field then has `by` with its numbers per value."""
    changes: list[InsightsChange]
    """Changes of prompts, fields, and models in the period."""
    fields: Annotated[dict[str, Json], eg(_FIELDS)]
    """By field: `type`, `how`, `total`, `n`, `left_out`, `series`, and by type: yes/no fields
    `rate` with its 95% interval, `low` and `high`; choice and text fields `counts`; lists `counts`
    of their entries and `any`; numbers `mean` with its interval, `median`, `lowest`, `highest`, and
    `histogram`. With `compare=previous` also `previous` and `change`."""

    @classmethod
    def from_stats(
        cls, scope: Scope, volume: Volume, fields: list[FieldStats], changes: list[Change]
    ) -> Self:
        """Return the statistics of a scope."""
        return cls(
            channel=Channel(scope.channel) if scope.channel else None,
            start=scope.period.start,
            end=scope.period.end,
            clock=scope.clock.value,
            bucket=scope.buckets[0].size.value,
            conversations=volume.coverage.total,
            analyzed=volume.coverage.analyzed,
            left_out=_left_out(volume.coverage),
            failures={failure.code: failure.n for failure in volume.failures},
            cost=str(volume.cost),
            unpriced=volume.unpriced,
            previous=_previous(volume),
            series=[InsightsPoint.from_point(point) for point in volume.series],
            groups={group.value: group.n for group in volume.groups},
            changes=[InsightsChange.from_change(change) for change in changes],
            fields={stats.field.name: field_json(stats) for stats in fields},
        )


def _previous(volume: Volume) -> PreviousVolume | None:
    if volume.previous is None:
        return None
    return PreviousVolume(
        conversations=volume.previous,
        analyzed=volume.previous_analyzed or 0,
        failed=volume.previous_failed or 0,
        cost=str(volume.previous_cost or 0),
    )


def field_json(stats: FieldStats) -> Json:
    """Return the statistics of a field as the API shows them."""
    shown: Json = {
        "type": stats.field.type.value,
        "how": stats.field.how,
        "total": stats.coverage.total,
        "n": stats.n,
        "left_out": _left_out(stats.coverage),
    }
    if isinstance(stats, RateStats):
        shown |= _rate_json(stats)
    elif isinstance(stats, NumberStats):
        shown |= _number_json(stats)
    elif isinstance(stats, ChoiceStats):
        shown |= _choice_json(stats)
    if stats.groups:
        shown["by"] = {group.value: _group_json(stats, group) for group in stats.groups}
    return shown


def _left_out(coverage: Coverage) -> dict[str, int]:
    return {omission.code: omission.n for omission in coverage.left_out}


def _rate_json(stats: RateStats) -> Json:
    series = [{"at": _at(p), "n": p.rate.n, "rate": p.rate.value} for p in stats.series]
    return {
        **_of_rate(stats.rate),
        **_compared(_of_rate(stats.previous) if stats.previous else None, stats.change),
        "series": series,
    }


def _number_json(stats: NumberStats) -> Json:
    before: Json | None = None
    if stats.previous is not None:
        before = {**_of_average(stats.previous), "median": stats.previous_median}
    return {
        **_of_average(stats.average),
        "median": stats.median,
        "lowest": stats.lowest,
        "highest": stats.highest,
        "histogram": [{"from": b.low, "to": b.high, "count": b.n} for b in stats.bins],
        **_compared(before, stats.change),
        "series": [{"at": _at(p), "n": p.average.n, "mean": p.average.value} for p in stats.series],
    }


def _choice_json(stats: ChoiceStats) -> Json:
    shares = [share for share in stats.shares if not share.is_rest]
    shown: Json = {
        "counts": {share.value: share.rate.yes for share in shares},
        "distinct": stats.distinct,
        "series": [
            {"at": _at(point), "n": point.n, "counts": _counts(stats.shares, point.counts)}
            for point in stats.series
        ],
    }
    if stats.previous_n is not None:
        counts = {share.value: share.previous.yes for share in shares if share.previous}
        shown["previous"] = {"n": stats.previous_n, "counts": counts}
        shown["change"] = {s.value: _of_change(s.change) for s in shares if s.change}
    if stats.any is not None:
        shown["any"] = _of_rate(stats.any)
    return shown


def _counts(shares: tuple[Share, ...], counts: tuple[int, ...]) -> dict[str, int]:
    pairs = zip(shares, counts, strict=False)
    return {share.value: n for share, n in pairs if not share.is_rest}


def _group_json(stats: FieldStats, group: Group) -> Json:
    if group.rate is not None:
        return _of_rate(group.rate)
    if group.average is not None:
        return _of_average(group.average)
    assert isinstance(stats, ChoiceStats)
    return {"n": group.n, "counts": _counts(stats.shares, group.counts)}


def _of_rate(rate: Rate) -> Json:
    return {"n": rate.n, "rate": rate.value, "low": rate.low, "high": rate.high}


def _of_average(average: Average) -> Json:
    return {"n": average.n, "mean": average.value, "low": average.low, "high": average.high}


def _compared(previous: Json | None, change: Difference | None) -> Json:
    if previous is None:
        return {}
    return {"previous": previous, "change": _of_change(change) if change else None}


def _of_change(change: Difference) -> Json:
    return {
        "value": change.value,
        "low": change.low,
        "high": change.high,
        "is_clear": change.is_clear,
    }


def _at(point: RatePoint | SharePoint | NumberPoint) -> str:
    return point.bucket.start.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
