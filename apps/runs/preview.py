"""What a backfill would do, counted before it is paid for.

One aggregate over the matching conversations, grouped by route and by the config of the current
result; the rest is arithmetic on a handful of groups.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db.models import Count, Max, QuerySet, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from apps.agents.plans import Plan, plans_for_routes
from apps.analysis.estimates import Estimate, estimate
from apps.conversations.filters import matching
from apps.core.database import TooSlow, time_limit
from apps.core.errors import Example, UserError
from apps.llm.errors import ErrorCode
from apps.llm.models import LanguageModel

from .lanes import LaneEstimate, lane_estimates
from .options import Options
from .selection import ANALYZABLE, Chosen, Reading, candidates, choose, readings, too_long

#: Why a runner would reject a transcript without asking a model.
TOO_LONG = str(ErrorCode.TRANSCRIPT_TOO_LONG)
TOO_LONG_WAY_OUT = (
    "Let the agent keep the beginning and the end of long transcripts, or choose a model with a "
    "larger context."
)


@dataclass(frozen=True, slots=True)
class RouteGroup:
    """The conversations of one route: its agents, the config that reads them, and their number.

    ``already`` of them have a result of exactly this config; ``tokens`` are those of the
    transcripts to analyze; ``too_long`` don't fit into the model's context.
    """

    route: str
    plan: Plan
    to_analyze: int = 0
    already: int = 0
    tokens: int = 0
    too_long: int = 0

    @property
    def label(self) -> str:
        return self.plan.label

    @property
    def estimate(self) -> Estimate:
        return estimate(self.plan, tokens=self.tokens, conversations=self.to_analyze)


@dataclass(frozen=True, slots=True)
class Preview:
    """The numbers of a backfill at a moment. Save would freeze ``to_analyze`` conversations.

    ``not_analyzable`` counts by reason, ``left_out`` by the message that names the agent whose
    draft has errors. ``lanes`` are the available ones, the standard one first.
    """

    channel: str
    filters: Mapping[str, Sequence[str]]
    options: Options
    as_of: datetime
    matching: int
    already_analyzed: int
    not_analyzable: Mapping[str, int]
    left_out: Sequence[tuple[str, int]]
    groups: Sequence[RouteGroup]
    to_analyze: int
    lanes: Sequence[LaneEstimate]
    reading: Mapping[str, Reading]
    chosen: Chosen

    @property
    def not_analyzable_total(self) -> int:
        return sum(self.not_analyzable.values()) + sum(n for _, n in self.left_out)

    @property
    def models(self) -> list[LanguageModel]:
        """Return the models of the conversations to analyze."""
        return [group.plan.config.model for group in self.groups if group.to_analyze]

    @property
    def stops_after(self) -> int | None:
        """Return after about how many conversations the budget is spent; None: it covers all."""
        budget, cost = self.options.budget, self.estimate.cost
        if budget is None or not cost or cost <= budget:
            return None
        return int(self.to_analyze * budget / cost)

    @property
    def chosen_lane(self) -> LaneEstimate:
        """Return the estimate of the lane that was asked for; standard where it isn't offered."""
        return next((one for one in self.lanes if one.lane == self.options.lane), self.lanes[0])

    @property
    def estimate(self) -> Estimate:
        return self.chosen_lane.estimate

    @property
    def seconds(self) -> float:
        return self.chosen_lane.seconds

    def estimate_json(self) -> dict[str, Any]:
        """Return the estimate as the API shows it and the run stores it, with money as text."""
        return self.chosen_lane.as_dict()

    @property
    def why_nothing(self) -> str:
        """Why there is nothing to analyze, as a message; empty where there is something."""
        if self.to_analyze:
            return ""
        if not self.matching:
            return "No conversations match these filters."
        able = self.matching - self.not_analyzable_total
        if not able and (too_long := self.not_analyzable.get(TOO_LONG)):
            return (
                f"{too_long:,} can’t be analyzed: their transcripts are too long for the model. "
                f"{TOO_LONG_WAY_OUT}"
            )
        if able and (self.options.include_analyzed or self.already_analyzed < able):
            return (
                f"The sample is too small to include any of the {able:,} conversations. "
                "Use a larger sample."
            )
        if able:
            return (
                f"All {able:,} matching conversations are up to date. Turn on “Include up-to-date "
                "results” to analyze them again."
            )
        if self.left_out:
            return self.left_out[0][0]
        return f"None of the {self.matching:,} matching conversations can be analyzed."


PREVIEW_SECONDS = 15.0
"""What a statement of a preview may take before it is given up."""


class PreviewTooSlow(UserError):
    """Raised where counting takes longer than anyone would wait."""

    code = "preview_too_slow"
    example = Example("Counting these conversations takes too long. Narrow the filters.")

    def __init__(self) -> None:
        super().__init__(self.example.message)


def make_preview(
    *,
    channel: str,
    params: Mapping[str, Sequence[str]],
    options: Options,
    as_of: datetime | None = None,
    seconds: float | None = None,
) -> Preview:
    """Count and price what matches now, or what had come in by ``as_of``.

    Raises `apps.conversations.filters.FilterError` for a filter that is unknown or invalid, and
    PreviewTooSlow where a statement takes longer than ``seconds``.
    """
    as_of = as_of or timezone.now()
    if seconds is None:
        return _make_preview(channel, params, options, as_of)
    try:
        with time_limit(seconds):
            return _make_preview(channel, params, options, as_of)
    except TooSlow:
        raise PreviewTooSlow from None


def count_matching(*, channel: str, params: Mapping[str, Sequence[str]]) -> int:
    """Count what matches now, which takes a fraction of a preview's time.

    Raises as `make_preview`.
    """
    try:
        with time_limit(PREVIEW_SECONDS):
            return matching(channel=channel, params=params).order_by().count()
    except TooSlow:
        raise PreviewTooSlow from None


def _make_preview(
    channel: str, params: Mapping[str, Sequence[str]], options: Options, as_of: datetime
) -> Preview:
    found = candidates(channel, params, as_of)
    rows: list[dict[str, Any]] = list(
        found.values("route", "why", "current_config").annotate(
            conversations=Count("pk"),
            tokens=Coalesce(Sum("prompt_tokens_est"), 0),
            longest=Max("prompt_tokens_est"),
        )
    )
    plans = plans_for_routes({row["route"] for row in rows})
    reading = readings(plans)
    rows = _without_too_long(rows, found, {route: r.longest for route, r in reading.items()})
    groups, skipped, left_out = _sort_out(rows, plans, options)
    # Only routes that were counted: what ends a moment later by another one has no frozen plan.
    reading = {group.route: reading[group.route] for group in groups}
    chosen = choose(found, reading, options)
    if options.sampled:
        groups = _sampled(groups, chosen)
    lanes = lane_estimates([(g.plan.config.model, g.estimate) for g in groups])
    return Preview(
        channel=channel,
        filters=params,
        options=options,
        as_of=as_of,
        matching=sum(row["conversations"] for row in rows),
        already_analyzed=sum(group.already for group in groups),
        not_analyzable=skipped,
        left_out=left_out,
        groups=sorted(groups, key=lambda group: (-group.to_analyze, group.route)),
        to_analyze=lanes[0].estimate.conversations,
        lanes=lanes,
        reading=reading,
        chosen=chosen,
    )


def _without_too_long(
    rows: list[dict[str, Any]], found: QuerySet[Any], longest: Mapping[str, int | None]
) -> list[dict[str, Any]]:
    """Split off transcripts that are too long for their model, in one more query if any are."""
    met = {
        row["route"]: limit
        for row in rows
        if row["why"] == ANALYZABLE
        and (limit := longest.get(row["route"])) is not None
        and row["longest"] > limit
    }
    refused = {(row["route"], row["current_config"]): row for row in too_long(found, met)}
    split = []
    for row in rows:
        over = (
            refused.get((row["route"], row["current_config"])) if row["why"] == ANALYZABLE else None
        )
        if over is None:
            split.append(row)
            continue
        left = {name: row[name] - over[name] for name in ("conversations", "tokens")}
        split += [{**row, **left}, {**row, **over, "why": TOO_LONG}]
    return split


def _sort_out(
    rows: Sequence[Mapping[str, Any]], plans: Mapping[str, Plan], options: Options
) -> tuple[list[RouteGroup], dict[str, int], list[tuple[str, int]]]:
    """Sort rows of the aggregate: analyzable by route, not analyzable by reason, and left out."""
    groups: dict[str, RouteGroup] = {}
    skipped: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    for row in rows:
        plan = plans[row["route"]]
        if row["why"] not in {ANALYZABLE, TOO_LONG}:
            skipped[row["why"]] += row["conversations"]
        elif plan.problems:
            left_out[" ".join(plan.problems)] += row["conversations"]
        else:
            group = groups.get(row["route"]) or RouteGroup(row["route"], plan)
            groups[row["route"]] = _with_row(group, row, options)
    if refused := sum(group.too_long for group in groups.values()):
        skipped[TOO_LONG] += refused
    return list(groups.values()), dict(skipped), left_out.most_common()


def _with_row(group: RouteGroup, row: Mapping[str, Any], options: Options) -> RouteGroup:
    already = row["current_config"] == group.plan.config.pk
    taken = options.include_analyzed or not already
    if row["why"] == TOO_LONG:
        # A result that is there already is no reason to say that there can be none.
        return replace(
            group,
            already=group.already + (0 if taken else row["conversations"]),
            too_long=group.too_long + (row["conversations"] if taken else 0),
        )
    return replace(
        group,
        to_analyze=group.to_analyze + (row["conversations"] if taken else 0),
        already=group.already + (row["conversations"] if already else 0),
        tokens=group.tokens + (row["tokens"] if taken else 0),
    )


def _sampled(groups: Sequence[RouteGroup], chosen: Chosen) -> list[RouteGroup]:
    """The groups with what the sample really draws of each."""
    totals = chosen.totals()
    return [
        replace(
            group,
            to_analyze=totals.get(group.route, (0, 0))[0],
            tokens=totals.get(group.route, (0, 0))[1],
        )
        for group in groups
    ]
