"""Incidents of alert rules."""

from typing import Annotated, Literal, Self

from pydantic import Field

from apps.alerts.incidents import InvalidIncident
from apps.alerts.models import Cause, Incident, IncidentState, Resolution
from apps.alerts.payloads import url_of
from apps.core.schemas import Body, Count, Schema, Time, eg

from . import examples
from .common import Email, Page


class IncidentRule(Schema):
    """The rule of an incident."""

    id: Annotated[str, eg(examples.RULE_ID)]
    name: Annotated[str, eg("Success rate")]


class IncidentSchema(Schema):
    """Something that is wrong, or was."""

    id: Annotated[str, eg(examples.INCIDENT_ID)]
    rule: IncidentRule
    agent_id: str | None
    state: Annotated[IncidentState, eg("open")]
    cause: Annotated[Cause, eg("breach")]
    condition: Annotated[str, eg("Share of Call successful is yes below 80% over 1d")]
    value: Annotated[float | None, eg(0.72)]
    """When it opened."""
    latest: Annotated[float | None, eg(0.74)]
    counted: Annotated[Count, eg(50)]
    matched: Annotated[Count, eg(36)]
    """Of single results: the conversations behind it."""
    owner: Annotated[str | None, eg("ada@example.com")]
    note: str
    opened_at: Annotated[Time, eg("2025-01-18T15:30:00Z")]
    acknowledged_at: Time | None
    acknowledged_by: str | None
    resolved_at: Time | None
    resolution: Resolution | None
    resolved_by: str | None
    url: str | None

    @classmethod
    def from_incident(cls, incident: Incident) -> Self:
        """Return an incident, loaded with its rule, agent and owner."""
        owner = incident.owner
        return cls(
            id=incident.public_id,
            rule=IncidentRule(id=incident.rule.public_id, name=incident.rule.name),
            agent_id=incident.agent.public_id if incident.agent else None,
            state=IncidentState(incident.state),
            cause=Cause(incident.cause),
            condition=incident.condition_text,
            value=incident.value,
            latest=incident.latest,
            counted=incident.counted,
            matched=incident.matched,
            owner=(owner.email or owner.username) if owner else None,
            note=incident.note,
            opened_at=incident.opened_at,
            acknowledged_at=incident.acknowledged_at,
            acknowledged_by=incident.acknowledged_by or None,
            resolved_at=incident.resolved_at,
            resolution=Resolution(incident.resolution) if incident.resolution else None,
            resolved_by=incident.resolved_by or None,
            url=url_of(incident),
        )


class IncidentPatch(Body):
    """Changes of an incident. Left out keys stay."""

    missing = InvalidIncident
    invalid = InvalidIncident
    wrong_type = InvalidIncident
    example = {"state": "acknowledged", "owner": "ada@example.com"}

    state: Literal["acknowledged", "resolved"] | None = None
    owner: Email | None = None
    """Email of a member who looks at it; null: no one."""
    note: Annotated[str, Field(max_length=5000)] | None = None


class Incidents(Page[IncidentSchema]):
    """One page of incidents."""
