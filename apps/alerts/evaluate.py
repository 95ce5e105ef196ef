"""Evaluate rules over windows: rates, averages and counts; and close what has become quiet."""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q

from apps.agents.models import Agent, Channel
from apps.conversations.filters import FilterError
from apps.core.database import is_passing

from .conditions import watched
from .incidents import add_event, announce_open, close_incident, lock_rule, open_incident
from .measure import last_window_end, measure, usual_latency
from .models import (
    AlertRule,
    Direction,
    Evaluation,
    EventKind,
    Incident,
    IncidentState,
    Kind,
    NoData,
    Resolution,
    RuleState,
    Standing,
)
from .states import Limits, Position, Reading, Step, advance, is_quiet

logger = logging.getLogger(__name__)


def evaluate_due(now: datetime) -> int:
    """Evaluate each rule whose next window has ended; return how many were evaluated.

    A rule that fails is logged and keeps no other from its turn.
    """
    latency = {channel: usual_latency(channel, now) for channel in Channel.values}
    rules = AlertRule.objects.filter(paused_at=None).exclude(kind=Kind.RESULT).order_by("pk")
    done = 0
    for rule in rules.only("channel", "window_hours", "evaluated_until"):
        end = last_window_end(rule.window, now=now, latency=latency[rule.channel])
        if rule.evaluated_until is None or rule.evaluated_until < end:
            done += _evaluate_safely(rule.pk, end, now)
    return done


def _evaluate_safely(rule_pk: int, end: datetime, now: datetime) -> bool:
    try:
        return evaluate(rule_pk, end, now=now)
    except Exception as error:  # one rule must not stop the others
        if is_passing(error):
            raise
        logger.exception("Alert rule %d can't be evaluated", rule_pk)
        return False


def evaluate(rule_pk: int, end: datetime, *, now: datetime) -> bool:
    """Evaluate the window that ends at ``end``, once, however many try to.

    Return False where it was evaluated before, or is being evaluated now.
    """
    with transaction.atomic():
        rule = lock_rule(rule_pk, skip_locked=True)
        if rule is None or rule.is_paused or (rule.evaluated_until or end) > end:
            return False
        if rule.evaluated_until == end:
            return False
        try:
            readings = read_window(rule, end)
        except FilterError as error:
            AlertRule.objects.filter(pk=rule.pk).update(problem=error.message)
            return False
        for agent_id, reading in readings.items():
            _apply(rule, agent_id, reading, end, now)
        AlertRule.objects.filter(pk=rule.pk).update(evaluated_until=end, problem="")
    return True


def read_window(rule: AlertRule, end: datetime) -> Mapping[int | None, Reading]:
    """Return what a rule finds in a window, of each agent that it watches."""
    found = measure(
        watched(rule),
        start=end - rule.window,
        end=end,
        piece=rule.window,
        per_agent=rule.per_agent,
    )
    sums = {agent: pieces[0].reading(rule.kind) for agent, pieces in found.items()}
    empty = Reading(0.0 if rule.kind == Kind.COUNT else None, 0)
    if not rule.per_agent:
        return {None: sums.get(None, empty)}
    known = rule.standings.exclude(agent=None).values_list("agent", flat=True)
    active = set(Agent.objects.active().filter(pk__in=[*sums, *known]).values_list("pk", flat=True))
    waiting = set(rule.incidents.open().values_list("agent", flat=True))
    return {pk: sums.get(pk, empty) for pk in sorted((active | waiting) - {None})}


def limits_of(rule: AlertRule) -> Limits:
    """Return what the values of a rule are compared with."""
    assert rule.threshold is not None  # a constraint: only single results have none
    return Limits(
        direction=Direction(rule.direction),
        threshold=rule.threshold,
        recovery=rule.recovery,
        minimum=rule.min_conversations,
        hold=timedelta(minutes=rule.for_minutes),
        no_data=NoData(rule.no_data),
    )


def _apply(
    rule: AlertRule, agent_id: int | None, reading: Reading, end: datetime, now: datetime
) -> None:
    """Move one standing by one window, and open or close its incident."""
    standing = Standing.objects.filter(rule=rule, agent=agent_id).first()
    standing = standing or Standing(rule=rule, agent_id=agent_id, since=end)
    incident = rule.incidents.open().filter(agent=agent_id).select_related("rule", "agent").first()
    position = Position(
        RuleState(standing.state),
        standing.since,
        standing.bad_since,
        needs_recovery=standing.needs_recovery,
        is_open=incident is not None,
    )
    step = advance(position, reading, limits_of(rule), end)
    _write(standing, step, reading, end)
    if step.opens:
        window = (end - rule.window, end)
        incident = open_incident(
            rule, agent_id=agent_id, at=now, cause=step.opens, reading=reading, window=window
        )
        announce_open(incident, now)
    elif incident:
        _update(incident, step, reading, now)


def _write(standing: Standing, step: Step, reading: Reading, end: datetime) -> None:
    position = step.position
    standing.state, standing.since = position.state, position.since
    standing.bad_since, standing.needs_recovery = position.bad_since, position.needs_recovery
    standing.value, standing.counted = reading.value, reading.counted
    standing.matched = reading.matched
    standing.save()
    Evaluation.objects.bulk_create(
        [
            Evaluation(
                rule_id=standing.rule_id,
                agent_id=standing.agent_id,
                window_end=end,
                state=position.state,
                value=reading.value,
                counted=reading.counted,
                matched=reading.matched,
            )
        ],
        ignore_conflicts=True,
    )


def _update(incident: Incident, step: Step, reading: Reading, now: datetime) -> None:
    if reading.value is not None:
        incident.latest = reading.value
    if step.position.state == RuleState.ALERTING:
        incident.matched_at = now
    if step.closes:
        close_incident(incident, step.closes, at=now)
    else:
        incident.save(update_fields=["latest", "matched_at"])


def close_quiet(now: datetime) -> int:
    """Close incidents of single results that had no new match for the rule's quiet time."""
    rows = Incident.objects.open().filter(rule__kind=Kind.RESULT, rule__paused_at=None)
    closed = 0
    for incident in rows.select_related("rule").order_by("pk"):
        if not is_quiet(incident.matched_at, incident.rule.quiet_hours, now):
            continue
        with transaction.atomic():
            rule = lock_rule(incident.rule_id)
            found = rows.select_related("rule", "agent").filter(pk=incident.pk).first()
            if rule and found and is_quiet(found.matched_at, rule.quiet_hours, now):
                close_incident(found, Resolution.QUIET, at=now)
                settle(rule, found.agent_id, RuleState.NORMAL, now)
                closed += 1
    return closed


def settle(rule: AlertRule, agent_id: int | None, state: RuleState, at: datetime) -> None:
    """Set the state of a rule of single results."""
    standing = Standing.objects.filter(rule=rule, agent=agent_id).first()
    if standing is None:
        Standing.objects.create(rule=rule, agent_id=agent_id, state=state, since=at)
    elif standing.state != state:
        Standing.objects.filter(pk=standing.pk).update(state=state, since=at)


def remind(now: datetime) -> int:
    """Remind of incidents that are open and that no one has acknowledged; return how many."""
    rows = Incident.objects.filter(
        Q(rule__remind_hours__gt=0, rule__paused_at=None), state=IncidentState.OPEN
    ).annotate(every=F("rule__remind_hours"))
    reminded = 0
    for incident in rows.order_by("pk"):
        with transaction.atomic():
            lock_rule(incident.rule_id)
            found = rows.filter(pk=incident.pk).first()
            if found is None or not _reminder_due(found, now):
                continue
            Incident.objects.filter(pk=found.pk).update(reminded_at=now)
            add_event(found, EventKind.REMINDED, now, notify=True)
            reminded += 1
    return reminded


def _reminder_due(incident: Incident, now: datetime) -> bool:
    every = timedelta(hours=incident.rule.remind_hours)
    return now - (incident.reminded_at or incident.opened_at) >= every
