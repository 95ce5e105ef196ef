"""What webhooks and the API say about incidents."""

from datetime import datetime
from typing import Any

from apps.core.payloads import moment
from apps.webhooks.models import EventType

from .models import Incident


def event_payload(kind: EventType, incident: Incident, at: datetime) -> dict[str, Any]:
    """Return the body of ``alert.triggered`` or ``alert.resolved``, keys in the order sent.

    Read an incident with its rule and agent.
    """
    rule = incident.rule
    return {
        "event": kind.value,
        "incident_id": incident.public_id,
        "timestamp": moment(at),
        "alert": {"id": rule.public_id, "name": rule.name},
        "agent_id": incident.agent.public_id if incident.agent else None,
        "state": incident.state,
        "cause": incident.cause,
        "resolution": incident.resolution or None,
        "condition": incident.condition_text,
        "value": incident.value,
        "latest": incident.latest,
        "conversations": {"counted": incident.counted, "matched": incident.matched},
        "opened_at": moment(incident.opened_at),
        "resolved_at": moment(incident.resolved_at),
        "url": url_of(incident),
    }


def url_of(incident: Incident) -> str | None:
    """Return the address of its page; None while no one has saved the rule on a page."""
    site = incident.rule.site_url
    return f"{site.rstrip('/')}/alerts/incidents/{incident.public_id}/" if site else None
