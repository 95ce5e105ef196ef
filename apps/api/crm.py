"""CRM connections: list, create, change, test, and delete them; list their pushes."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from ninja import Router

from apps.accounts.actors import actor_of
from apps.accounts.api_auth import require
from apps.accounts.models import Role
from apps.crm import services
from apps.crm.models import CrmConnection, Push, PushState

from . import lists
from .endpoints import read, respond, write
from .openapi import Answer, operation
from .parameters import PAGE, chosen, parameter
from .schemas import crm as schemas
from .schemas.common import NothingIn

router = Router(tags=["CRM connections"])


@router.get(
    "",
    **operation(
        "listCrmConnections",
        "List connections",
        query=PAGE,
        answers={200: Answer(schemas.Connections, "One page of connections.")},
        refuses=[*lists.CODES, "forbidden"],
    ),
)
def many(request: HttpRequest) -> HttpResponse:
    """The newest first, without secrets. For admins."""
    require(request, Role.ADMIN)
    lists.only(request)
    rows = CrmConnection.objects.all()
    show = schemas.Connection.from_connection
    return lists.answer(request, rows, order=["-pk"], page=schemas.Connections, show=show)


@router.post(
    "",
    **operation(
        "createCrmConnection",
        "Create a connection",
        takes=schemas.ConnectionIn,
        answers={201: Answer(schemas.NewConnection, "The connection.")},
        refuses=["invalid_connection", "private_address"],
    ),
)
@write(Role.ADMIN, secret=True)
def create(request: HttpRequest) -> HttpResponse:
    """Secrets are part of `config` and never returned, but for a generated signing secret."""
    body = read(schemas.ConnectionIn, request)
    wanted = body.wanted(request.build_absolute_uri("/"))
    crm, secret = services.create_connection(kind=body.kind, wanted=wanted, by=actor_of(request))
    more = {"secret": secret} if secret else {}
    return respond(schemas.NewConnection.from_connection(crm, **more), status=201)


@router.patch(
    "/{connection_id}",
    **operation(
        "changeCrmConnection",
        "Change a connection",
        takes=schemas.ConnectionPatch,
        answers={200: Answer(schemas.Connection, "The connection.")},
        refuses=["invalid_connection", "private_address"],
    ),
)
@write(Role.ADMIN)
def change(request: HttpRequest, connection_id: str) -> HttpResponse:
    """Pending changes are sent with the new settings."""
    crm = _connection(connection_id)
    body = read(schemas.ConnectionPatch, request)
    changed = services.change_connection(
        connection=crm, wanted=body.wanted(crm), by=actor_of(request)
    )
    return respond(schemas.Connection.from_connection(changed))


@router.delete(
    "/{connection_id}",
    **operation(
        "deleteCrmConnection",
        "Delete a connection",
        answers={204: Answer(None, "Deleted, along with its pushes.")},
    ),
)
@write(Role.ADMIN)
def delete(request: HttpRequest, connection_id: str) -> HttpResponse:
    """Records in the CRM stay as they are."""
    services.delete_connection(connection=_connection(connection_id), by=actor_of(request))
    return HttpResponse(status=204)


@router.post(
    "/{connection_id}/test",
    **operation(
        "testCrmConnection",
        "Test a connection",
        takes=NothingIn,
        answers={200: Answer(schemas.Tested, "The result of the test.")},
        refuses=["connection_failed"],
    ),
)
@write(Role.ADMIN)
def test(request: HttpRequest, connection_id: str) -> HttpResponse:
    """Reads the CRM's fields and one value. An HTTP endpoint gets an example, marked as a test."""
    crm = _connection(connection_id)
    read(NothingIn, request)
    found = services.run_test(crm, actor_of(request))
    return respond(
        schemas.Tested(account=found.account, fields=len(found.fields), notes=list(found.notes))
    )


@router.get(
    "/{connection_id}/pushes",
    **operation(
        "listCrmPushes",
        "List pushes of a connection",
        query=[
            *PAGE,
            parameter("state", "Only pushes in this state.", PushState.values),
            parameter("contact", "Only pushes of the contact with this ID."),
        ],
        answers={200: Answer(schemas.Pushes, "One page of pushes.")},
        refuses=[*lists.CODES, "forbidden"],
    ),
)
def pushes(request: HttpRequest, connection_id: str) -> HttpResponse:
    """The newest first, each with its last request and response. For admins."""
    require(request, Role.ADMIN)
    lists.only(request, "state", "contact")
    rows = Push.objects.filter(connection=_connection(connection_id))
    if state := chosen(request, "state", PushState.values):
        rows = rows.filter(state=state)
    if contact := request.GET.get("contact", "").replace("\x00", ""):
        rows = rows.filter(contact__public_id=contact)
    rows = rows.select_related("contact", "conversation")
    show = schemas.PushSchema.from_push
    return lists.answer(request, rows, order=["-pk"], page=schemas.Pushes, show=show)


def _connection(connection_id: str) -> CrmConnection:
    return get_object_or_404(CrmConnection, public_id=connection_id)
