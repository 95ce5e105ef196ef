"""Webhooks out: endpoints, made and removed, and what became of their deliveries."""

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from ninja import Router

from apps.accounts.actors import actor_of
from apps.accounts.api_auth import require
from apps.accounts.models import Role
from apps.agents.models import Agent
from apps.core.errors import BadRequest, UserError
from apps.webhooks import services
from apps.webhooks.models import Delivery, DeliveryState, Endpoint
from apps.webhooks.overview import delivery_json, endpoint_json

from . import lists
from .errors import read_object, refuse_unknown
from .openapi import Answer, operation
from .parameters import PAGE, parameter
from .reading import InvalidValue, text
from .shapes import webhooks as shapes
from .writes import write

router = Router(tags=["Webhooks"])


class UnknownAgent(UserError):
    """No agent has this id."""

    code = "unknown_agent"


@router.get(
    "",
    **operation(
        "listWebhooks",
        "List endpoints",
        query=PAGE,
        answers={200: Answer(shapes.Webhooks, "One page of endpoints.")},
        refuses=["bad_request", "forbidden", "invalid_cursor", "repeated_parameter"],
    ),
)
def many(request: HttpRequest) -> HttpResponse:
    """The newest first. For admins."""
    require(request, Role.ADMIN)
    lists.only(request)
    rows = Endpoint.objects.select_related("agent")
    return lists.answer(request, rows, order=["-pk"], show=endpoint_json)


@router.post(
    "",
    **operation(
        "createWebhook",
        "Create an endpoint",
        takes=shapes.WebhookIn,
        answers={201: Answer(shapes.NewWebhook, "The endpoint with its secret, this once.")},
        refuses=[
            "invalid_endpoint",
            "invalid_value",
            "private_address",
            "unknown_agent",
            "unknown_keys",
        ],
    ),
)
@write(Role.ADMIN, secret=True)
def create(request: HttpRequest) -> HttpResponse:
    """Requests to it are signed by Standard Webhooks with the `secret` of the answer."""
    body = read_object(request)
    refuse_unknown(body, {"url", "events", "agent_id"})
    endpoint, secret = services.create_endpoint(
        url=text(body, "url"), events=_events(body), agent=_agent(body), by=actor_of(request)
    )
    return JsonResponse({**endpoint_json(endpoint), "secret": secret}, status=201)


@router.delete(
    "/{webhook_id}",
    **operation(
        "deleteWebhook",
        "Delete an endpoint",
        answers={204: Answer(None, "It is gone, with its deliveries.")},
    ),
)
@write(Role.ADMIN)
def delete(request: HttpRequest, webhook_id: str) -> HttpResponse:
    """What waits for it is not sent."""
    services.delete_endpoint(endpoint=_endpoint(webhook_id), by=actor_of(request))
    return HttpResponse(status=204)


@router.post(
    "/{webhook_id}/test",
    **operation(
        "testWebhook",
        "Send a test",
        takes=shapes.TestIn,
        answers={202: Answer(shapes.Sent, "The examples that are on their way.")},
        refuses=["invalid_endpoint", "invalid_value", "not_sendable", "unknown_keys"],
    ),
)
@write(Role.ADMIN)
def test(request: HttpRequest, webhook_id: str) -> HttpResponse:
    """An example of each event, marked `"test": true`, by the way that real ones go; once."""
    endpoint = _endpoint(webhook_id)
    body = read_object(request)
    refuse_unknown(body, {"events"})
    sent = services.send_test(endpoint=endpoint, types=_events(body), by=actor_of(request))
    return JsonResponse({"event_ids": [d.event.public_id for d in sent]}, status=202)


@router.get(
    "/{webhook_id}/deliveries",
    **operation(
        "listDeliveries",
        "Deliveries of an endpoint",
        query=[
            *PAGE,
            parameter("state", "Only those in this state.", DeliveryState.values),
        ],
        answers={200: Answer(shapes.Deliveries, "One page of deliveries.")},
        refuses=["bad_request", "forbidden", "invalid_cursor", "repeated_parameter"],
    ),
)
def deliveries(request: HttpRequest, webhook_id: str) -> HttpResponse:
    """The newest first, each with what was sent and what came back. For admins."""
    require(request, Role.ADMIN)
    lists.only(request, "state")
    rows = Delivery.objects.filter(endpoint=_endpoint(webhook_id))
    if state := request.GET.get("state"):
        if state not in DeliveryState.values:
            known = ", ".join(DeliveryState.values)
            raise BadRequest(
                f"state is one of {known}, not “{state[:40]}”.", {"state": f"One of {known}."}
            )
        rows = rows.filter(state=state)
    rows = rows.select_related("event__conversation").defer("event__payload", "tries")
    return lists.answer(request, rows, order=["-pk"], show=delivery_json)


def _endpoint(webhook_id: str) -> Endpoint:
    return get_object_or_404(Endpoint.objects.select_related("agent"), public_id=webhook_id)


def _events(body: Mapping[str, Any]) -> list[str]:
    events = body.get("events", [])
    if not isinstance(events, list) or not all(isinstance(e, str) for e in events):
        raise InvalidValue("events is a list of event names.", {"events": "A list of texts."})
    return events


def _agent(body: Mapping[str, Any]) -> Agent | None:
    public_id = text(body, "agent_id").replace("\0", "")
    if not public_id:
        return None
    agent = Agent.objects.filter(public_id=public_id).first()
    if agent is None:
        raise UnknownAgent(
            f"agent_id: there is no agent “{public_id[:60]}”.", {"agent_id": "Unknown."}
        )
    return agent
