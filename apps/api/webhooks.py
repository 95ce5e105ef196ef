"""Webhook endpoints: list, create, test and delete them; list their deliveries."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from ninja import Router

from apps.accounts.actors import actor_of
from apps.accounts.api_auth import require
from apps.accounts.models import Role
from apps.core.errors import UserError
from apps.webhooks import services
from apps.webhooks.models import Delivery, DeliveryState, Endpoint

from . import lists
from .endpoints import agent_named, read, respond, write
from .openapi import Answer, operation
from .parameters import PAGE, chosen, parameter
from .schemas import webhooks as schemas

router = Router(tags=["Webhooks"])


class UnknownAgent(UserError):
    """Raised for an ID that no agent has."""

    code = "unknown_agent"


@router.get(
    "",
    **operation(
        "listWebhooks",
        "List endpoints",
        query=PAGE,
        answers={200: Answer(schemas.Webhooks, "One page of endpoints.")},
        refuses=[*lists.CODES, "forbidden"],
    ),
)
def many(request: HttpRequest) -> HttpResponse:
    """The newest first. For admins."""
    require(request, Role.ADMIN)
    lists.only(request)
    rows = Endpoint.objects.select_related("agent")
    return lists.answer(
        request, rows, order=["-pk"], page=schemas.Webhooks, show=schemas.Webhook.from_endpoint
    )


@router.post(
    "",
    **operation(
        "createWebhook",
        "Create an endpoint",
        takes=schemas.WebhookIn,
        answers={
            201: Answer(
                schemas.NewWebhook, "The endpoint, including its secret (returned only once)."
            )
        },
        refuses=["invalid_endpoint", "private_address", "unknown_agent"],
    ),
)
@write(Role.ADMIN, secret=True)
def create(request: HttpRequest) -> HttpResponse:
    """Requests to it are signed by Standard Webhooks with the `secret` in the response."""
    body = read(schemas.WebhookIn, request)
    endpoint, secret = services.create_endpoint(
        url=body.url,
        events=body.events,
        agent=agent_named(body.agent_id, error=UnknownAgent),
        by=actor_of(request),
    )
    return respond(schemas.NewWebhook.from_endpoint(endpoint, secret=secret), status=201)


@router.delete(
    "/{webhook_id}",
    **operation(
        "deleteWebhook",
        "Delete an endpoint",
        answers={204: Answer(None, "Deleted, along with its deliveries.")},
    ),
)
@write(Role.ADMIN)
def delete(request: HttpRequest, webhook_id: str) -> HttpResponse:
    """Pending deliveries are dropped."""
    services.delete_endpoint(endpoint=_endpoint(webhook_id), by=actor_of(request))
    return HttpResponse(status=204)


@router.post(
    "/{webhook_id}/test",
    **operation(
        "testWebhook",
        "Send a test",
        takes=schemas.TestIn,
        answers={202: Answer(schemas.Sent, "The test deliveries.")},
        refuses=["invalid_endpoint", "not_sendable"],
    ),
)
@write(Role.ADMIN)
def test(request: HttpRequest, webhook_id: str) -> HttpResponse:
    """Sends an example of each event, marked `"test": true`, in the same way as real events. A
    failed test isn't retried."""
    endpoint = _endpoint(webhook_id)
    body = read(schemas.TestIn, request)
    sent = services.send_test(endpoint=endpoint, types=body.events, by=actor_of(request))
    return respond(schemas.Sent(event_ids=[d.event.public_id for d in sent]), status=202)


@router.get(
    "/{webhook_id}/deliveries",
    **operation(
        "listDeliveries",
        "List deliveries of an endpoint",
        query=[*PAGE, parameter("state", "Only deliveries in this state.", DeliveryState.values)],
        answers={200: Answer(schemas.Deliveries, "One page of deliveries.")},
        refuses=[*lists.CODES, "forbidden"],
    ),
)
def deliveries(request: HttpRequest, webhook_id: str) -> HttpResponse:
    """The newest first, each with its last request and response. For admins."""
    require(request, Role.ADMIN)
    lists.only(request, "state")
    rows = Delivery.objects.filter(endpoint=_endpoint(webhook_id))
    if state := chosen(request, "state", DeliveryState.values):
        rows = rows.filter(state=state)
    rows = rows.select_related("event__conversation").defer("event__payload", "tries")
    return lists.answer(
        request,
        rows,
        order=["-pk"],
        page=schemas.Deliveries,
        show=schemas.DeliverySchema.from_delivery,
    )


def _endpoint(webhook_id: str) -> Endpoint:
    return get_object_or_404(Endpoint.objects.select_related("agent"), public_id=webhook_id)
