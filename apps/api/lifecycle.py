"""Conversations that are sent as they happen: append messages to one, close it."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from ninja import Router

from apps.accounts.actors import actor_of
from apps.accounts.models import Role
from apps.conversations.models import Conversation
from apps.conversations.schemas import ConversationRow
from apps.intake import live

from .endpoints import read, respond, write
from .openapi import Answer, operation
from .schemas import conversations as schemas

router = Router(tags=["Conversations"])


@router.post(
    "/{conversation_id}/messages",
    **operation(
        "appendMessages",
        "Append messages",
        takes=schemas.AppendIn,
        answers={200: Answer(ConversationRow, "The updated conversation.")},
        refuses=["out_of_step"],
    ),
)
@write(Role.OPERATOR)
def append(request: HttpRequest, conversation_id: str) -> HttpResponse:
    """Appends messages. Set `after` to the number of messages already stored so you can retry
    safely: existing messages aren't added twice. Appending to an ended conversation reopens it and
    marks its result as *stale*."""
    conversation = get_object_or_404(Conversation, public_id=conversation_id)
    body = read(schemas.AppendIn, request)
    with _missing_once_erased():
        live.append(conversation=conversation, messages=body.messages, after=body.after)
    return _shown(conversation.pk)


@router.post(
    "/{conversation_id}/close",
    **operation(
        "closeConversation",
        "Close a conversation",
        takes=schemas.CloseIn,
        answers={200: Answer(ConversationRow, "The conversation, ended.")},
    ),
)
@write(Role.OPERATOR)
def close(request: HttpRequest, conversation_id: str) -> HttpResponse:
    """Ends the conversation and starts its analysis. Closing an ended conversation has no
    effect."""
    conversation = get_object_or_404(Conversation, public_id=conversation_id)
    body = read(schemas.CloseIn, request)
    closing = live.read_closing(body.given())
    with _missing_once_erased():
        live.close(conversation=conversation, closing=closing, by=actor_of(request))
    return _shown(conversation.pk)


@contextmanager
def _missing_once_erased() -> Iterator[None]:
    """Return 404 for a conversation that is erased between finding and locking it."""
    try:
        yield
    except Conversation.DoesNotExist:
        raise Http404 from None


def _shown(pk: int) -> HttpResponse:
    conversation = get_object_or_404(Conversation.objects.with_agents(), pk=pk)
    return respond(ConversationRow.from_conversation(conversation))
