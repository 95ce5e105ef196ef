"""When a rule would have fired in the last 30 days: by the code that evaluates it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from apps.agents.models import Agent

from .conditions import watched
from .evaluate import limits_of
from .measure import Sums, last_window_end, measure, step_of, usual_latency
from .models import AlertRule, Kind, RuleState
from .states import Position, advance, is_quiet

SPAN = timedelta(days=30)
_RESULT_STEP = timedelta(minutes=15)
POINTS = 240
"""Points of the line that is drawn."""


@dataclass(slots=True)
class PastIncident:
    """An incident that would have been; ``end`` is None where it would be open now."""

    agent_id: int | None
    start: datetime
    end: datetime | None = None
    value: float | None = None
    conversations: int = 0
    agent: Agent | None = None


@dataclass(slots=True)
class Preview:
    """The past of a rule. ``conversations`` were looked at, ``matched`` among them.

    ``points`` are (time, value) of a rule without agents of its own, for the drawing.
    """

    start: datetime
    end: datetime
    conversations: int = 0
    matched: int = 0
    incidents: list[PastIncident] = field(default_factory=list)
    points: list[tuple[datetime, float | None]] = field(default_factory=list)


def preview(rule: AlertRule, now: datetime) -> Preview:
    """Return when a rule, saved or not, would have fired.

    One grouped statement counts the conversations of 30 days and one window, in pieces as long as
    the time between two evaluations; windows are sums of pieces. Results are those of today.
    Raise FilterError.
    """
    step = _RESULT_STEP if rule.kind == Kind.RESULT else step_of(rule.window)
    latency = usual_latency(rule.channel, now)
    end = last_window_end(rule.window, now=now, latency=latency)
    if rule.kind == Kind.RESULT:
        end = datetime.fromtimestamp(now.timestamp() // 900 * 900 + 900, tz=now.tzinfo)
    lead = timedelta(0) if rule.kind == Kind.RESULT else rule.window
    found = measure(
        watched(rule), start=end - SPAN - lead, end=end, piece=step, per_agent=rule.per_agent
    )
    drawn = Preview(start=end - SPAN, end=end)
    first = int(lead / step)
    for pieces in found.values():
        for place, sums in pieces.items():
            if place >= first:
                drawn.conversations += sums.counted
                drawn.matched += sums.matched
    for agent_id, pieces in (found or {None: {}}).items():
        if rule.kind == Kind.RESULT:
            drawn.incidents += _of_results(rule, agent_id, pieces, drawn.start, step)
        else:
            _of_windows(rule, agent_id, pieces, drawn, step)
    _name_agents(drawn)
    drawn.incidents.sort(key=lambda one: one.start)
    return drawn


def _of_windows(
    rule: AlertRule,
    agent_id: int | None,
    pieces: Mapping[int, Sums],
    drawn: Preview,
    step: timedelta,
) -> None:
    """Walk the windows of one agent, as the evaluator does."""
    limits = limits_of(rule)
    position = Position(RuleState.NORMAL, drawn.start)
    current: PastIncident | None = None
    every = max(1, int(SPAN / step) // POINTS)
    for number, (at, sums) in enumerate(_windows(rule, pieces, drawn, step)):
        reading = sums.reading(rule.kind)
        moved = advance(position, reading, limits, at)
        position = moved.position
        if moved.opens:
            current = PastIncident(agent_id, at, value=reading.value, conversations=reading.counted)
            drawn.incidents.append(current)
        if moved.closes and current:
            current.end = at
        if agent_id is None and number % every == 0:
            enough = reading.counted >= limits.minimum
            drawn.points.append((at, reading.value if enough else None))


def _windows(
    rule: AlertRule, pieces: Mapping[int, Sums], drawn: Preview, step: timedelta
) -> Iterator[tuple[datetime, Sums]]:
    """Return the end of each window, and its sums."""
    width = int(rule.window / step)
    sums = Sums()
    for place in range(width):
        sums += pieces.get(place, Sums())
    for number in range(int(SPAN / step) + 1):
        yield drawn.start + number * step, sums
        sums += pieces.get(width + number, Sums())
        sums -= pieces.get(number, Sums())


def _of_results(
    rule: AlertRule,
    agent_id: int | None,
    pieces: Mapping[int, Sums],
    start: datetime,
    step: timedelta,
) -> Iterator[PastIncident]:
    """Group matches to incidents, as they open with a match and close when it becomes quiet."""
    current: PastIncident | None = None
    last = start
    for place in sorted(pieces):
        if not pieces[place].matched:
            continue
        at = start + place * step
        if current and is_quiet(last, rule.quiet_hours, at):
            current.end = last + timedelta(hours=rule.quiet_hours)
            yield current
            current = None
        current = current or PastIncident(agent_id, at)
        current.conversations += pieces[place].matched
        last = at
    if current:
        if is_quiet(last, rule.quiet_hours, start + SPAN):
            current.end = last + timedelta(hours=rule.quiet_hours)
        yield current


def _name_agents(drawn: Preview) -> None:
    agents = Agent.objects.in_bulk({one.agent_id for one in drawn.incidents if one.agent_id})
    for one in drawn.incidents:
        one.agent = agents.get(one.agent_id) if one.agent_id else None
