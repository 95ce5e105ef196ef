"""Ready views: customer success, sales pipeline, and quality, each made of panels.

A panel is a tile of the field in a slot, or a list. Every number is one of the statistics, or the
count of a list that its link opens.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from apps.agents.models import Channel
from apps.follow_ups.models import FollowUp

from .drawings import interval_words, rate_delta, rate_words
from .field_stats import ChoiceStats, RateStats
from .fields import FieldType, InsightField, insight_fields
from .lists import ConversationList, listed
from .rates import Difference, Rate
from .scope import Params, Scope
from .stats import stats_of
from .tile_pages import Headline, TilePage, field_tile
from .use_cases import (
    CUSTOMER_SUCCESS_SLOTS,
    HOT_WORDS,
    QUALIFIED_WORDS,
    QUALITY_SLOTS,
    SALES_SLOTS,
    YES_WORDS,
    Filled,
    Slot,
    checks_of,
    failed_checks_of,
    fill,
    values_of,
)


@dataclass(frozen=True, slots=True)
class UseCase:
    """A ready view. ``panels`` are names of slots, and of lists."""

    key: str
    title: str
    lead: str
    slots: tuple[Slot, ...]
    panels: tuple[str, ...]


USE_CASES: Mapping[str, UseCase] = {
    view.key: view
    for view in (
        UseCase(
            "customer_success",
            "Customer success",
            "Resolved issues, sentiment, and open follow-ups",
            CUSTOMER_SUCCESS_SLOTS,
            ("resolution", "sentiment", "issues", "queue"),
        ),
        UseCase(
            "sales",
            "Sales pipeline",
            "Which leads are worth a salesperson’s time",
            SALES_SLOTS,
            ("lead_quality", "decision_maker", "budget", "budget_range", "next_step", "hot_leads"),
        ),
        UseCase(
            "quality",
            "Quality",
            "How well agents follow the rules, and where they don’t",
            QUALITY_SLOTS,
            ("score", "checks", "compliance", "worst"),
        ),
    )
}
PANELS: Mapping[str, str] = {
    "queue": "Follow-up queue",
    "hot_leads": "Hot leads",
    "checks": "Failed checks",
    "worst": "Worst conversations",
}
"""Panels that aren't the tile of a slot, with their titles."""
_HEADLINES: Mapping[str, tuple[str, frozenset[str]]] = {
    "resolution": ("resolved", YES_WORDS),
    "lead_quality": ("qualified", QUALIFIED_WORDS),
}


@dataclass(frozen=True, slots=True)
class Check:
    """A yes/no field, or a check of a scorecard: how often it failed."""

    label: str
    field: InsightField
    failed: Rate
    url: str
    previous: str
    change: Difference | None
    delta: str

    @property
    def interval(self) -> str:
        return interval_words(self.failed)


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel of a view: its template with its content."""

    name: str
    title: str
    template: str
    scope: Scope
    filled: Filled | None = None
    tile: TilePage | None = None
    listed: ConversationList | None = None
    checks: list[Check] = field(default_factory=list)
    rate: Rate | None = None
    open_follow_ups: int = 0


def best_channel(view: UseCase) -> str:
    """Return the channel whose fields fill most slots of a view; calls where it makes none."""
    return max(
        (Channel.VOICE.value, Channel.CHAT.value),
        key=lambda channel: _filled_count(view, channel),
    )


def _filled_count(view: UseCase, channel: str) -> int:
    fields = insight_fields(channel)
    filled = sum(one.field is not None for one in fill(view.slots, fields, {}).values())
    return filled + bool(view.key == "quality" and checks_of(fields))


def panel_title(view: UseCase, name: str) -> str:
    """Return the title of a panel."""
    return PANELS.get(name) or next(slot.label for slot in view.slots if slot.name == name)


def panel_of(view: UseCase, name: str, scope: Scope, chosen: Mapping[str, str]) -> Panel:
    """Return a panel of a view with its numbers."""
    filled = fill(view.slots, scope.fields, chosen)
    panel = Panel(name, panel_title(view, name), "insights/panels/_missing.html", scope)
    if name in filled:
        return _slot_panel(panel, filled[name])
    make = {"queue": _queue, "hot_leads": _hot_leads, "checks": _checks, "worst": _worst}[name]
    return make(panel, filled)


def _slot_panel(panel: Panel, filled: Filled) -> Panel:
    if filled.field is None:
        return replace(panel, filled=filled)
    tile = field_tile(panel.scope, filled.field)
    if panel.name in _HEADLINES and isinstance(tile.stats, ChoiceStats):
        tile = replace(tile, headline=_headline(tile.stats, panel))
    return replace(panel, template="insights/panels/_tile.html", filled=filled, tile=tile)


def _headline(stats: ChoiceStats, panel: Panel) -> Headline | None:
    """Return the share of the values that count as yes in this view."""
    word, words = _HEADLINES[panel.name]
    shares = [s for s in stats.shares if s.value.casefold() in words and not s.is_rest]
    if not shares:
        return None
    rate = Rate(sum(s.rate.yes for s in shares), stats.n)
    previous = None
    if stats.previous_n is not None:
        previous = Rate(sum(s.previous.yes for s in shares if s.previous), stats.previous_n)
    change = rate.since(previous) if previous else None
    params: Params = {stats.field.filter_name: [s.value for s in shares]}
    return Headline(
        word,
        rate,
        panel.scope.url(params),
        rate_words(previous) if previous and previous.n else "",
        rate_delta(change),
        change,
    )


def _queue(panel: Panel, filled: Mapping[str, Filled]) -> Panel:
    """Conversations that need a follow-up, and how many follow-ups are open."""
    slot, found = filled["follow_up"], filled["follow_up"].field
    follow_ups = FollowUp.objects.open().filter(conversation__channel=panel.scope.channel)
    if panel.scope.agents:
        follow_ups = follow_ups.filter(conversation__agent__public_id__in=panel.scope.agents)
    panel = replace(panel, filled=slot, open_follow_ups=follow_ups.count())
    if found is None:
        return replace(panel, template="insights/panels/_queue.html")
    stats = stats_of(panel.scope, found)
    assert isinstance(stats, RateStats)
    notes = [n for n in ("follow_up_notes", "next_step") if n in panel.scope.fields]
    flagged = listed(panel.scope, {found.filter_name: ["true"]}, notes[:1])
    return replace(panel, template="insights/panels/_queue.html", listed=flagged, rate=stats.rate)


def _hot_leads(panel: Panel, filled: Mapping[str, Filled]) -> Panel:
    slot = filled["lead_quality"]
    panel = replace(panel, filled=slot)
    if slot.field is None:
        return panel
    stats = stats_of(panel.scope, slot.field)
    assert isinstance(stats, ChoiceStats)
    hot = values_of(slot.field, (share.value for share in stats.shares), HOT_WORDS)
    if not hot:
        return panel
    others = (filled[name].field for name in ("budget_range", "next_step"))
    names = [one.name for one in others if one]
    found = listed(panel.scope, {slot.field.filter_name: hot}, names)
    return replace(panel, template="insights/panels/_hot_leads.html", listed=found)


def _checks(panel: Panel, filled: Mapping[str, Filled]) -> Panel:
    found = [_check(panel.scope, field) for field in checks_of(panel.scope.fields)]
    if failed := failed_checks_of(filled["score"].field, panel.scope.fields):
        found += _scorecard_checks(panel.scope, failed)
    if not found:
        slot = Slot("checks", "Yes/no fields that check the agent", (FieldType.BOOLEAN,), (), _QA)
        return replace(panel, filled=Filled(slot, None))
    checks = sorted(found, key=lambda c: (-(c.failed.value or 0), c.label))
    return replace(panel, template="insights/panels/_checks.html", checks=checks)


_QA = QUALITY_SLOTS[0].template


def _check(scope: Scope, field: InsightField) -> Check:
    stats = stats_of(scope, field)
    assert isinstance(stats, RateStats)
    failed = Rate(stats.rate.n - stats.rate.yes, stats.rate.n)
    previous = stats.previous
    before = Rate(previous.n - previous.yes, previous.n) if previous else None
    change = failed.since(before) if before else None
    words = rate_words(before) if before and before.n else ""
    return Check(field.label, field, failed, stats.no_url, words, change, rate_delta(change))


def _scorecard_checks(scope: Scope, field: InsightField) -> list[Check]:
    """Return the checks of a scorecard that failed, by the list that has them."""
    stats = stats_of(scope, field)
    assert isinstance(stats, ChoiceStats)
    return [
        Check(
            share.label,
            field,
            share.rate,
            share.url,
            rate_words(share.previous) if share.previous and share.previous.n else "",
            share.change,
            rate_delta(share.change),
        )
        for share in stats.shares
        if not share.is_rest
    ]


def _worst(panel: Panel, filled: Mapping[str, Filled]) -> Panel:
    slot = filled["score"]
    panel = replace(panel, filled=slot)
    if slot.field is None:
        return panel
    compliance = filled["compliance"].field
    failed = failed_checks_of(slot.field, panel.scope.fields)
    names = [one.name for one in (slot.field, failed, compliance) if one]
    found = listed(
        panel.scope,
        {f"{slot.field.filter_name}__isset": ["true"]},
        names,
        lowest=slot.field,
    )
    return replace(panel, template="insights/panels/_worst.html", listed=found)
