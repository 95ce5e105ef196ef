"""Open, change and close incidents, with their history, their webhooks, and their notifications.

Every change of an incident holds the lock of its rule (`lock_rule`): rules are locked before
incidents everywhere.
"""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from apps.accounts import audit
from apps.accounts.actors import Actor
from apps.accounts.models import User
from apps.core.errors import Conflict, Example, UserError
from apps.core.tasks import enqueue
from apps.webhooks import outbox
from apps.webhooks.models import EventType
from apps.webhooks.outbox import NewEvent

from .models import (
    AlertRule,
    Cause,
    EventKind,
    Incident,
    IncidentEvent,
    IncidentState,
    Match,
    Resolution,
    RuleState,
    Standing,
)
from .payloads import event_payload
from .states import Reading
from .wording import condition_text, value_text

NOTE_LENGTH = 5_000


class AlreadyResolved(Conflict):
    """Raised for a change of an incident that is closed."""

    code = "incident_resolved"
    example = Example("This incident is already resolved.")


class InvalidIncident(UserError):
    """Raised for a change that an incident can't have."""

    code = "invalid_incident"
    example = Example("owner: No member has this email.", {"owner": "No member has this email."})


def lock_rule(pk: int, *, skip_locked: bool = False) -> AlertRule | None:
    """Lock and return a rule; None where it is gone, or locked by another transaction."""
    rows = AlertRule.objects.select_for_update(no_key=True, skip_locked=skip_locked)
    return rows.filter(pk=pk).first()


def open_incident(
    rule: AlertRule,
    *,
    agent_id: int | None,
    at: datetime,
    cause: Cause = Cause.BREACH,
    reading: Reading | None = None,
    window: tuple[datetime, datetime] | None = None,
) -> Incident:
    """Open an incident of a locked rule, and its first line of history."""
    incident = Incident.objects.create(
        rule=rule,
        agent_id=agent_id,
        cause=cause,
        condition_text=condition_text(rule),
        value=reading.value if reading else None,
        latest=reading.value if reading else None,
        counted=reading.counted if reading else 0,
        matched=reading.matched if reading else 0,
        window_start=window[0] if window else None,
        window_end=window[1] if window else None,
        opened_at=at,
        matched_at=at,
    )
    detail = value_text(rule, incident.value) if reading and reading.value is not None else ""
    add_event(incident, EventKind.OPENED, at, detail=detail, notify=True)
    return incident


def announce_open(incident: Incident, at: datetime) -> None:
    """Write the webhook event of an incident that has just opened, with its counts."""
    _emit(EventType.ALERT_TRIGGERED, incident, at)


def close_incident(
    incident: Incident, resolution: Resolution, *, at: datetime, by: str = "", detail: str = ""
) -> None:
    """Close an open incident of a locked rule: never silently."""
    incident.state, incident.resolution = IncidentState.RESOLVED, resolution
    incident.resolved_at, incident.resolved_by = at, by
    incident.save(update_fields=["state", "resolution", "resolved_at", "resolved_by", "latest"])
    detail = detail or resolution.label
    add_event(incident, EventKind.RESOLVED, at, by=by, detail=detail, notify=True)
    _emit(EventType.ALERT_RESOLVED, incident, at)


def add_matches(incident: Incident, conversation_ids: Sequence[int], *, at: datetime) -> int:
    """Add conversations to an open incident; return how many are new in it."""
    known = set(
        Match.objects.filter(incident=incident, conversation__in=conversation_ids).values_list(
            "conversation", flat=True
        )
    )
    new = [pk for pk in conversation_ids if pk not in known]
    Match.objects.bulk_create(Match(incident=incident, conversation_id=pk, at=at) for pk in new)
    if known:
        Match.objects.filter(incident=incident, conversation__in=known).update(matches=True)
    incident.matched += len(new)
    incident.matched_at = at
    incident.save(update_fields=["matched", "matched_at"])
    return len(new)


def add_event(
    incident: Incident,
    kind: EventKind,
    at: datetime,
    *,
    by: str = "",
    count: int = 0,
    detail: str = "",
    notify: bool = False,
) -> None:
    """Add a line to the history; matches that no message includes yet are counted together."""
    if kind == EventKind.MATCHED:
        last = incident.events.order_by("-pk").first()
        if last and last.kind == kind and last.to_notify == notify:
            last.count, last.at = last.count + count, at
            last.save(update_fields=["count", "at"])
            return
    IncidentEvent.objects.create(
        incident=incident, kind=kind, at=at, by=by, count=count, detail=detail[:200],
        to_notify=notify,
    )  # fmt: skip
    if notify:
        enqueue("alerts.notify")


def acknowledge(*, incident: Incident, by: Actor, owner: User | None = None) -> Incident:
    """Note who looks at an incident: the one who says so, or ``owner``. Ends its reminders.

    Raise AlreadyResolved.
    """
    with transaction.atomic():
        locked, now = _locked(incident), timezone.now()
        if locked.state == IncidentState.OPEN:
            locked.state = IncidentState.ACKNOWLEDGED
            locked.acknowledged_at, locked.acknowledged_by = now, by.label
            add_event(locked, EventKind.ACKNOWLEDGED, now, by=by.label)
            _note(by, "acknowledged", locked)
        owner = owner or (User.objects.filter(pk=by.user_id).first() if by.user_id else None)
        if owner and locked.owner_id is None:
            locked.owner = owner
        locked.save(update_fields=["state", "acknowledged_at", "acknowledged_by", "owner"])
    return locked


def assign(*, incident: Incident, owner: User | None, by: Actor) -> Incident:
    """Set who looks at an incident; None: no one. Raise AlreadyResolved, InvalidIncident."""
    with transaction.atomic():
        locked, now = _locked(incident), timezone.now()
        if owner is not None and not owner.is_active:
            raise InvalidIncident(
                f"owner: {owner.label} can’t sign in.", {"owner": "Choose an active member."}
            )
        if locked.owner_id != (owner.pk if owner else None):
            locked.owner = owner
            locked.save(update_fields=["owner"])
            name = owner.label if owner else "no one"
            add_event(locked, EventKind.ASSIGNED, now, by=by.label, detail=name)
            _note(by, "assigned", locked, owner=name)
    return locked


def write_note(*, incident: Incident, note: str, by: Actor) -> Incident:
    """Replace the note of an incident, open or not. Raise InvalidIncident."""
    text = note.replace("\0", "").strip()
    if len(text) > NOTE_LENGTH:
        message = f"note is too long (maximum {NOTE_LENGTH:,} characters)."
        raise InvalidIncident(message, {"note": message})
    with transaction.atomic():
        locked = _locked(incident, also_resolved=True)
        if locked.note != text:
            locked.note = text
            locked.save(update_fields=["note"])
            add_event(locked, EventKind.NOTED, timezone.now(), by=by.label)
            _note(by, "noted", locked)
    return locked


def resolve(*, incident: Incident, by: Actor) -> Incident:
    """Close an incident by hand.

    One of a rate, average or count that is still bad opens again only after it was good once.
    Raise AlreadyResolved.
    """
    with transaction.atomic():
        locked, now = _locked(incident), timezone.now()
        close_incident(locked, Resolution.BY_HAND, at=now, by=by.label)
        still_bad = [RuleState.ALERTING, RuleState.RECOVERING]
        standing = Standing.objects.filter(rule=locked.rule, agent=locked.agent_id)
        if locked.matches.exists():
            standing.update(state=RuleState.NORMAL, since=now)
        else:
            standing.filter(state__in=still_bad).update(
                state=RuleState.RECOVERING, since=now, needs_recovery=True, bad_since=None
            )
        _note(by, "resolved", locked)
    return locked


def _locked(incident: Incident, *, also_resolved: bool = False) -> Incident:
    lock_rule(incident.rule_id)
    found = Incident.objects.select_related("rule", "agent", "owner").get(pk=incident.pk)
    if not also_resolved and not found.is_open:
        raise AlreadyResolved
    return found


def _emit(kind: EventType, incident: Incident, at: datetime) -> None:
    if outbox.has_subscribers(kind):
        agent_id = incident.agent_id or incident.rule.agent_id
        payload = event_payload(kind, incident, at)
        outbox.write([NewEvent(type=kind, payload=payload, agent_id=agent_id)])


def _note(by: Actor, done: str, incident: Incident, **detail: object) -> None:
    audit.record(by=by, verb=f"incident.{done}", target=incident.public_id, detail=detail)
