"""Turn what happened to incidents into messages: one batch per rule per 15 minutes.

The first message of a rule goes out at once. What happens within the next 15 minutes waits, and is
one message with its counts. Messages are rows; `messages.py` sends them.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from apps.core.tasks import enqueue

from .incidents import lock_rule
from .models import AlertRule, EventKind, Incident, IncidentEvent, Message, MessageKind
from .payloads import url_of
from .wording import value_text

EVERY = timedelta(minutes=15)
SHOWN = 20
"""Incidents that one message lists; the others are counted."""


def notify_due(now: datetime) -> int:
    """Write the messages that are due; return how many."""
    untold = IncidentEvent.objects.filter(incident__rule=OuterRef("pk"), to_notify=True)
    rules = AlertRule.objects.filter(
        Q(notified_at=None) | Q(notified_at__lte=now - EVERY), Exists(untold), paused_at=None
    )
    return sum(_notify(pk, now) for pk in rules.order_by("pk").values_list("pk", flat=True))


def _notify(rule_pk: int, now: datetime) -> int:
    with transaction.atomic():
        rule = lock_rule(rule_pk, skip_locked=True)
        if rule is None or (rule.notified_at and rule.notified_at > now - EVERY):
            return 0
        events = list(
            IncidentEvent.objects.filter(incident__rule=rule, to_notify=True)
            .select_related("incident__agent")
            .order_by("pk")
        )
        if not events:
            return 0
        messages = _messages(rule, events, now)
        Message.objects.bulk_create(messages)
        IncidentEvent.objects.filter(pk__in=[e.pk for e in events]).update(to_notify=False)
        AlertRule.objects.filter(pk=rule.pk).update(notified_at=now)
        if messages:
            enqueue("alerts.send", queue="outbound")
    return len(messages)


def addresses_of(rule: AlertRule) -> list[str]:
    """Return the addresses that get the rule's mails: each once, active members only."""
    members = rule.members.filter(is_active=True).exclude(email="").order_by("pk")
    found = [*members.values_list("email", flat=True), *rule.addresses]
    return list({address.lower(): address for address in found}.values())


def _messages(rule: AlertRule, events: Sequence[IncidentEvent], now: datetime) -> list[Message]:
    subject, body = text_of(rule, events)
    to = [
        Message(rule=rule, kind=MessageKind.EMAIL, address=address, subject=subject, body=body)
        for address in addresses_of(rule)
    ]
    to += [
        Message(rule=rule, kind=channel.kind, channel=channel, subject=subject, body=body)
        for channel in rule.channels.all()
    ]
    for message in to:
        message.not_before = message.created_at = now
    return to


def text_of(rule: AlertRule, events: Sequence[IncidentEvent]) -> tuple[str, str]:
    """Return subject and body of what happened to a rule's incidents."""
    incidents: dict[int, list[IncidentEvent]] = {}
    for event in events:
        incidents.setdefault(event.incident_id, []).append(event)
    subject = f"[Debrief] {rule.name}: {_headline(events, len(incidents))}"
    lines = [rule.name, events[0].incident.condition_text, ""]
    for found in list(incidents.values())[:SHOWN]:
        incident = found[0].incident
        incident.rule = rule
        lines += [*(_line(rule, event) for event in found), url_of(incident) or "", ""]
    if len(incidents) > SHOWN:
        lines.append(f"And {len(incidents) - SHOWN:,} more incidents.")
    return subject[:300], "\n".join(lines).strip() + "\n"


_ORDER = (EventKind.OPENED, EventKind.MATCHED, EventKind.REMINDED, EventKind.RESOLVED)


def _headline(events: Sequence[IncidentEvent], incidents: int) -> str:
    kinds = [event.kind for event in events]
    words = {
        EventKind.OPENED: "alert",
        EventKind.MATCHED: f"{sum(e.count for e in events):,} more conversations",
        EventKind.REMINDED: "still open",
        EventKind.RESOLVED: "resolved",
    }
    text = ", ".join(words[kind] for kind in _ORDER if kind in kinds)
    return f"{text} ({incidents:,} incidents)" if incidents > 1 else text


def _line(rule: AlertRule, event: IncidentEvent) -> str:
    incident = event.incident
    who = f"{incident.agent.name}: " if incident.agent else ""
    if event.kind == EventKind.OPENED:
        return who + _opened(rule, incident, event)
    if event.kind == EventKind.MATCHED:
        return f"{who}{_conversations(event.count, 'more ')} since the last message."
    if event.kind == EventKind.REMINDED:
        return f"{who}Still open since {incident.opened_at:%b %-d, %H:%M} UTC."
    return f"{who}Resolved: {event.detail}."


def _opened(rule: AlertRule, incident: Incident, event: IncidentEvent) -> str:
    if incident.cause == "no_data":
        return f"No data: {_conversations(incident.counted)} in the window."
    if incident.value is None:
        return f"{_conversations(event.count)} matched."
    return f"{value_text(rule, incident.value)} of {_conversations(incident.counted)}."


def _conversations(count: int, more: str = "") -> str:
    return f"{count:,} {more}conversation{'' if count == 1 else 's'}"
