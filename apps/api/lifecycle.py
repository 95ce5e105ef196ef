"""Conversations that are written as they happen: append to one, close it."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from ninja import Router

from apps.accounts.actors import actor_of
from apps.accounts.models import Role
from apps.conversations.models import Conversation
from apps.conversations.serializers import conversation_json
from apps.intake import live

from .errors import read_object, refuse_unknown
from .openapi import Answer, operation
from .shapes import conversations as shapes
from .writes import write

router = Router(tags=["Conversations"])


@router.post(
    "/{conversation_id}/messages",
    **operation(
        "appendMessages",
        "Append messages",
        takes=shapes.AppendIn,
        answers={200: Answer(shapes.ConversationRow, "The conversation as it stands now.")},
        refuses=["missing_field", "invalid_value", "unknown_keys", "out_of_step"],
    ),
)
@write(Role.OPERATOR)
def append(request: HttpRequest, conversation_id: str) -> HttpResponse:
    """Messages that follow those that are there. With `after`, the number of messages that come
    before these, the same request may be sent again until it is answered: what is there already
    is not added twice. One that was closed is open again, and its result is *stale*."""
    body = read_object(request)
    conversation = get_object_or_404(Conversation, public_id=conversation_id)
    refuse_unknown(body, {"messages", "after"})
    with _missing_once_erased():
        live.append(
            conversation=conversation, messages=body.get("messages"), after=body.get("after")
        )
    return _answer(conversation.pk)


@router.post(
    "/{conversation_id}/close",
    **operation(
        "closeConversation",
        "Close a conversation",
        takes=shapes.CloseIn,
        answers={200: Answer(shapes.ConversationRow, "The conversation, ended.")},
        refuses=["invalid_value", "unknown_keys"],
    ),
)
@write(Role.OPERATOR)
def close(request: HttpRequest, conversation_id: str) -> HttpResponse:
    """It has ended, and its analysis starts. One that has ended already stays as it is: closing
    it once more is no error and changes nothing."""
    body = read_object(request)
    conversation = get_object_or_404(Conversation, public_id=conversation_id)
    refuse_unknown(body, set(shapes.CloseIn.model_fields))
    closing = live.read_closing(body)
    with _missing_once_erased():
        live.close(conversation=conversation, closing=closing, by=actor_of(request))
    return _answer(conversation.pk)


@contextmanager
def _missing_once_erased() -> Iterator[None]:
    """An erasure between finding a conversation and locking it makes it a missing one."""
    try:
        yield
    except Conversation.DoesNotExist:
        raise Http404 from None


def _answer(pk: int) -> HttpResponse:
    conversation = get_object_or_404(Conversation.objects.with_agents(), pk=pk)
    return JsonResponse(conversation_json(conversation, whole=False))
