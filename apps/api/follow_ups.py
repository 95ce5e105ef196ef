"""Follow-ups: list, add, change, finish, and reopen them."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from ninja import Router

from apps.accounts.actors import Actor, actor_of
from apps.accounts.models import Role
from apps.conversations.models import Conversation
from apps.core.errors import BadRequest
from apps.follow_ups import services
from apps.follow_ups.models import FollowUp, FollowUpQuerySet, FollowUpState

from . import lists
from .endpoints import read, respond, write
from .openapi import Answer, operation
from .parameters import PAGE, chosen, parameter
from .schemas import follow_ups as schemas

router = Router(tags=["Follow-ups"])

_FILTERS = ("state", "owner", "agent", "conversation", "overdue")


@router.get(
    "",
    **operation(
        "listFollowUps",
        "List follow-ups",
        query=[
            *PAGE,
            parameter("state", "Only open or only done ones.", FollowUpState.values),
            parameter("owner", "Only those of this username; empty for those without an owner."),
            parameter("agent", "Only conversations of this agent, by its ID."),
            parameter("conversation", "Only those of this conversation, by its ID."),
            parameter("overdue", "Only open ones whose due time has passed.", ["true", "false"]),
        ],
        answers={200: Answer(schemas.FollowUps, "One page of follow-ups.")},
        refuses=lists.CODES,
    ),
)
def many(request: HttpRequest) -> HttpResponse:
    """The newest first."""
    lists.only(request, *_FILTERS)
    show = schemas.FollowUpSchema.from_follow_up
    return lists.answer(
        request, _matching(request), order=["-pk"], page=schemas.FollowUps, show=show
    )


def _matching(request: HttpRequest) -> FollowUpQuerySet:
    """Return the follow-ups that match the query. Raise BadRequest for an unknown value."""
    given = request.GET
    if bad := [name for name in _FILTERS if "\x00" in given.get(name, "")]:
        raise BadRequest(f"{bad[0]} contains a NUL character.", {bad[0]: "Contains NUL."})
    rows = FollowUp.objects.with_conversations()
    if state := chosen(request, "state", FollowUpState.values):
        rows = rows.open() if state == FollowUpState.OPEN else rows.done()
    if "owner" in given:
        owner = given["owner"]
        rows = rows.filter(owner__username=owner) if owner else rows.filter(owner=None)
    if agent := given.get("agent"):
        rows = rows.of_agent(agent)
    if conversation := given.get("conversation"):
        rows = rows.filter(conversation__public_id=conversation)
    overdue = chosen(request, "overdue", ["true", "false"])
    return rows.overdue(timezone.now()) if overdue == "true" else rows


@router.post(
    "",
    **operation(
        "addFollowUp",
        "Add a follow-up",
        takes=schemas.FollowUpIn,
        answers={201: Answer(schemas.FollowUpSchema, "The new follow-up.")},
        refuses=["invalid_follow_up", "follow_up_exists"],
    ),
)
@write(Role.OPERATOR)
def add(request: HttpRequest) -> HttpResponse:
    """A conversation has at most one open follow-up."""
    body = read(schemas.FollowUpIn, request)
    details = services.Details(
        reason=_clean(body.reason),
        owner=services.owner_named(body.owner) if body.owner else None,
        due_at=body.due_at,
        note=_clean(body.note),
    )
    added = services.add(
        conversation=_conversation(body.conversation_id), details=details, by=actor_of(request)
    )
    return respond(_shown(added.public_id), status=201)


@router.patch(
    "/{follow_up_id}",
    **operation(
        "changeFollowUp",
        "Change a follow-up",
        takes=schemas.FollowUpPatch,
        answers={200: Answer(schemas.FollowUpSchema, "The follow-up.")},
        refuses=["invalid_follow_up", "follow_up_exists"],
    ),
)
@write(Role.OPERATOR)
def change(request: HttpRequest, follow_up_id: str) -> HttpResponse:
    """Change its reason, owner, due time, or note; finish or reopen it."""
    found = get_object_or_404(FollowUp, public_id=follow_up_id.replace("\0", ""))
    body = read(schemas.FollowUpPatch, request)
    by = actor_of(request)
    services.change(follow_up=found, changes=_changes(body), by=by)
    _set_state(found, body.state, by)
    return respond(_shown(found.public_id))


def _changes(body: schemas.FollowUpPatch) -> dict[str, Any]:
    """Return the columns that the body sets: null empties owner and due time only."""
    given = body.model_fields_set
    changes: dict[str, Any] = {}
    if "owner" in given:
        changes["owner"] = services.owner_named(body.owner) if body.owner else None
    if "due_at" in given:
        changes["due_at"] = body.due_at
    if body.reason is not None:
        changes["reason"] = _clean(body.reason)
    if body.note is not None:
        changes["note"] = _clean(body.note)
    return changes


def _set_state(found: FollowUp, state: FollowUpState | None, by: Actor) -> None:
    """Finish or reopen it. Raise FollowUpExists where the conversation has another open one."""
    rows = FollowUp.objects.filter(pk=found.pk)
    if state == FollowUpState.DONE:
        services.finish(rows=rows, by=by)
    elif (
        state == FollowUpState.OPEN
        and rows.done().exists()
        and not services.reopen(rows=rows, by=by)
    ):
        raise services.FollowUpExists("This conversation already has an open follow-up.")


def _conversation(conversation_id: str) -> Conversation:
    public_id = conversation_id.replace("\0", "")
    found = Conversation.objects.filter(public_id=public_id).first()
    if found is None:
        message = f"conversation_id: no conversation with ID “{public_id[:60]}”."
        raise services.InvalidFollowUp(message, {"conversation_id": message})
    return found


def _clean(text: str) -> str:
    return text.replace("\0", "")


def _shown(public_id: str) -> schemas.FollowUpSchema:
    row = FollowUp.objects.with_conversations().get(public_id=public_id)
    return schemas.FollowUpSchema.from_follow_up(row)
