"""What the pages show of rules and incidents."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import urlencode

from django.db.models import Count, Q, QuerySet
from django.urls import reverse

from apps.agents.models import Channel
from apps.conversations.filters.rules import params_of_rule
from apps.conversations.models import Conversation

from .conditions import watched
from .models import AlertRule, Incident, IncidentState, Kind, Match, RuleState
from .preview import Preview
from .services import state_of
from .states import Limits
from .wording import condition_text, value_text

SHOWN = 50
"""Conversations that an incident's page lists."""
WIDTH, HEIGHT, INSET = 720, 120, 8


@dataclass(frozen=True, slots=True)
class RuleLine:
    """A rule in the list."""

    rule: AlertRule
    state: RuleState
    text: str
    value: str
    open: int


def rule_lines() -> list[RuleLine]:
    """Return all rules, in three queries besides those of the fields."""
    is_open = ~Q(incidents__state=IncidentState.RESOLVED) & Q(incidents__isnull=False)
    rows = AlertRule.objects.select_related("agent").prefetch_related("standings")
    found = []
    for rule in rows.annotate(open=Count("incidents", filter=is_open)).order_by("name"):
        values = [s.value for s in rule.standings.all()]
        value = value_text(rule, values[0] if len(values) == 1 else None)
        found.append(RuleLine(rule, state_of(rule), condition_text(rule), value, rule.open))
    return found


def incidents_of(*, state: str = "", rule: str = "") -> QuerySet[Incident]:
    """Return incidents as the list shows them; without a state, those that aren't resolved."""
    rows = Incident.objects.select_related("rule__agent", "agent", "owner")
    if rule:
        rows = rows.filter(rule__public_id=rule)
    if state == "all":
        return rows
    return rows.filter(state=state) if state else rows.open()


def open_count() -> int:
    """Return how many incidents aren't resolved."""
    return Incident.objects.open().count()


@dataclass(frozen=True, slots=True)
class Behind:
    """The conversations behind an incident: the latest, how many, and where all of them are."""

    conversations: Sequence[Conversation]
    total: int
    url: str = ""


def behind(incident: Incident) -> Behind:
    """Return the conversations behind an incident.

    Of single results those that matched. Of a window those that it counted, by today's results.
    """
    if incident.rule.kind == Kind.RESULT:
        matches = Match.objects.filter(incident=incident).order_by("-pk")
        rows = matches.select_related("conversation__agent")[:SHOWN]
        return Behind([match.conversation for match in rows], matches.count())
    start, end = incident.window_start, incident.window_end
    if start is None or end is None:
        return Behind([], 0)
    what = watched(incident.rule)
    found = Conversation.objects.filter(what.scope, sort_at__gte=start, sort_at__lt=end)
    if incident.agent_id:
        found = found.filter(agent=incident.agent_id)
    if what.number is not None:
        found = found.annotate(number=what.number)
    found = found.filter(what.counted)
    if incident.rule.kind == Kind.COUNT:
        found = found.filter(what.matched)
    latest = found.with_agents().with_excerpt().order_by("-sort_at", "-pk")[:SHOWN]
    return Behind(list(latest), found.count(), history_url(incident, start, end))


def history_url(incident: Incident, start: datetime, end: datetime) -> str:
    """Return the history page of a window's conversations."""
    rule = incident.rule
    query: dict[str, str | list[str]] = {"started_at__gte": start.isoformat()}
    query["started_at__lt"] = end.isoformat()
    agent = incident.agent or rule.agent
    if agent:
        query["agent"] = agent.public_id
    params = params_of_rule(rule.condition) if rule.condition else None
    more = f"&{params.urlencode()}" if params else ""
    page = "conversations:calls" if rule.channel == Channel.VOICE else "conversations:chats"
    return f"{reverse(page)}?{urlencode(query)}{more}"


@dataclass(slots=True)
class Drawing:
    """A preview as a chart: lines of the value, the threshold, and the spans of incidents."""

    lines: list[str] = field(default_factory=list)
    threshold: float | None = None
    spans: list[tuple[float, float, str]] = field(default_factory=list)
    high: str = ""
    low: str = ""


def draw(rule: AlertRule, drawn: Preview, limits: Limits | None) -> Drawing:
    """Return the chart of a preview."""
    chart = Drawing()
    length = (drawn.end - drawn.start) / timedelta(seconds=1) or 1.0

    def x(at: datetime) -> float:
        return round((at - drawn.start) / timedelta(seconds=1) / length * WIDTH, 1)

    for one in drawn.incidents:
        left = x(one.start)
        right = x(one.end or drawn.end)
        label = f"{one.start:%b %-d, %H:%M} UTC"
        chart.spans.append((left, round(max(right - left, 2.0), 1), label))
    values = [value for _, value in drawn.points if value is not None]
    if not values or limits is None:
        return chart
    marks = [*values, limits.threshold]
    low, high = min(marks), max(marks)
    span = (high - low) or 1.0

    def y(value: float) -> float:
        return round(HEIGHT - INSET - (value - low) / span * (HEIGHT - 2 * INSET), 1)

    chart.lines = _lines([(x(at), None if v is None else y(v)) for at, v in drawn.points])
    chart.threshold = y(limits.threshold)
    chart.high, chart.low = value_text(rule, high), value_text(rule, low)
    return chart


def _lines(points: Sequence[tuple[float, float | None]]) -> list[str]:
    """Return the points of each line; a time without data interrupts it."""
    lines: list[list[str]] = [[]]
    for left, top in points:
        if top is None:
            lines.append([])
        else:
            lines[-1].append(f"{left},{top}")
    return [" ".join(line) for line in lines if len(line) > 1]
