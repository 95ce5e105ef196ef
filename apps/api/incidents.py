"""Incidents: list, read, acknowledge, assign, note, and resolve them."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from ninja import Router

from apps.accounts.actors import actor_of
from apps.accounts.models import Role, User
from apps.alerts import incidents as services
from apps.alerts.incidents import InvalidIncident
from apps.alerts.models import Incident, IncidentState

from . import lists
from .endpoints import read, respond, write
from .openapi import Answer, operation
from .parameters import PAGE, chosen, parameter
from .schemas import incidents as schemas

router = Router(tags=["Alerts"])


@router.get(
    "",
    **operation(
        "listIncidents",
        "List incidents",
        query=[
            *PAGE,
            parameter("state", "Only incidents in this state.", IncidentState.values),
            parameter("rule", "Only incidents of the rule with this ID."),
        ],
        answers={200: Answer(schemas.Incidents, "One page of incidents.")},
        refuses=lists.CODES,
    ),
)
def many(request: HttpRequest) -> HttpResponse:
    """The newest first."""
    lists.only(request, "state", "rule")
    rows = Incident.objects.select_related("rule", "agent", "owner")
    if state := chosen(request, "state", IncidentState.values):
        rows = rows.filter(state=state)
    if rule := request.GET.get("rule", "").replace("\0", ""):
        rows = rows.filter(rule__public_id=rule)
    show = schemas.IncidentSchema.from_incident
    return lists.answer(request, rows, order=["-pk"], page=schemas.Incidents, show=show)


@router.patch(
    "/{incident_id}",
    **operation(
        "changeIncident",
        "Change an incident",
        takes=schemas.IncidentPatch,
        answers={200: Answer(schemas.IncidentSchema, "The incident.")},
        refuses=["invalid_incident", "incident_resolved"],
    ),
)
@write(Role.OPERATOR)
def change(request: HttpRequest, incident_id: str) -> HttpResponse:
    """Acknowledge, assign, note, or resolve it. Acknowledging ends its reminders."""
    incident, by = _incident(incident_id), actor_of(request)
    body = read(schemas.IncidentPatch, request)
    owner = _owner(body.owner) if body.owner else None
    if body.note is not None:
        services.write_note(incident=incident, note=body.note, by=by)
    if body.state == "acknowledged":
        services.acknowledge(incident=incident, by=by, owner=owner)
    if "owner" in body.given():
        services.assign(incident=incident, owner=owner, by=by)
    if body.state == "resolved":
        services.resolve(incident=incident, by=by)
    return respond(schemas.IncidentSchema.from_incident(_incident(incident_id)))


def _incident(incident_id: str) -> Incident:
    rows = Incident.objects.select_related("rule", "agent", "owner")
    return get_object_or_404(rows, public_id=incident_id)


def _owner(email: str) -> User:
    found = User.objects.filter(email__iexact=email.replace("\0", ""), is_active=True).first()
    if found is None:
        message = f"owner: no member has the email “{email[:80]}”."
        raise InvalidIncident(message, {"owner": message})
    return found
