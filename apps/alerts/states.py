"""What becomes of a rule with each window. No I/O: the evaluator and the preview both use it.

The table of `docs/alerts.md` is this module.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from .models import Cause, Direction, NoData, Resolution, RuleState


@dataclass(frozen=True, slots=True)
class Limits:
    """What a value is compared with. ``recovery`` None: it is the threshold."""

    direction: Direction
    threshold: float
    recovery: float | None = None
    minimum: int = 0
    hold: timedelta = timedelta(0)
    no_data: NoData = NoData.KEEP

    def is_bad(self, value: float) -> bool:
        """Return whether the value is past the threshold; one that equals it is not."""
        if self.direction == Direction.BELOW:
            return value < self.threshold
        return value > self.threshold

    def has_recovered(self, value: float) -> bool:
        """Return whether an open incident may close; one that equals the recovery may."""
        limit = self.threshold if self.recovery is None else self.recovery
        return value >= limit if self.direction == Direction.BELOW else value <= limit


@dataclass(frozen=True, slots=True)
class Reading:
    """A window: its value (None where nothing was counted), and of how many conversations."""

    value: float | None
    counted: int
    matched: int = 0


@dataclass(frozen=True, slots=True)
class Position:
    """The state of a rule between two windows. ``is_open``: an incident of it is open."""

    state: RuleState
    since: datetime
    bad_since: datetime | None = None
    needs_recovery: bool = False
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """What one window changes: the new position, and an incident that opens or closes."""

    position: Position
    opens: Cause | None = None
    closes: Resolution | None = None


def advance(position: Position, reading: Reading, limits: Limits, at: datetime) -> Step:
    """Return what the window that ends at ``at`` makes of a rule."""
    if reading.value is None or reading.counted < limits.minimum:
        return _without_data(position, limits, at)
    if limits.is_bad(reading.value):
        return _bad(position, limits, at, Cause.BREACH)
    return _good(position, reading.value, limits, at)


def _without_data(position: Position, limits: Limits, at: datetime) -> Step:
    if limits.no_data == NoData.ALERT:
        return _bad(position, limits, at, Cause.NO_DATA)
    if limits.no_data == NoData.RESOLVE and position.is_open:
        closed = _moved(position, RuleState.NO_DATA, at, is_open=False)
        return Step(closed, closes=Resolution.NO_DATA)
    return Step(_moved(position, RuleState.NO_DATA, at))


def _bad(position: Position, limits: Limits, at: datetime, cause: Cause) -> Step:
    if position.is_open:
        return Step(_moved(position, RuleState.ALERTING, at))
    if position.needs_recovery:
        return Step(_moved(position, RuleState.RECOVERING, at))
    since = position.bad_since or at
    if at - since < limits.hold:
        return Step(_moved(position, RuleState.PENDING, at, bad_since=since))
    alerting = _moved(position, RuleState.ALERTING, at, bad_since=since, is_open=True)
    return Step(alerting, opens=cause)


def _good(position: Position, value: float, limits: Limits, at: datetime) -> Step:
    if not limits.has_recovered(value) and (position.is_open or position.needs_recovery):
        return Step(_moved(position, RuleState.RECOVERING, at))
    normal = _moved(position, RuleState.NORMAL, at, is_open=False)
    normal = replace(normal, needs_recovery=False)
    return Step(normal, closes=Resolution.RECOVERED if position.is_open else None)


def _moved(
    position: Position,
    state: RuleState,
    at: datetime,
    *,
    bad_since: datetime | None = None,
    is_open: bool | None = None,
) -> Position:
    return replace(
        position,
        state=state,
        since=position.since if state == position.state else at,
        bad_since=bad_since,
        is_open=position.is_open if is_open is None else is_open,
    )


def is_quiet(matched_at: datetime, quiet_hours: int, at: datetime) -> bool:
    """Return whether an incident of single results has had no new match for long enough."""
    return at - matched_at >= timedelta(hours=quiet_hours)
