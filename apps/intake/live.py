"""Conversations that are written as they happen: appended to, then closed (decision 0008).

Each is one transaction under the lock of the conversation's row: concurrent appends lose nothing
and keep an order, and a chat that idles out at the same moment is ended before or continues after.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.accounts.actors import Actor
from apps.analysis.auto_analysis import request_due
from apps.analysis.imports import Imported, record_imported
from apps.conversations import inputs, rows
from apps.conversations.append import append_messages, lock_conversation, messages_from
from apps.conversations.inputs import LineRefused, Message
from apps.conversations.models import CLOSED, AnalysisState, Conversation, Status
from apps.core.errors import Conflict, Example
from apps.webhooks import outbox

from .parser import MAX_MESSAGES, read_messages, read_result
from .platform_analysis import keep_beside


class OutOfStep(Conflict):
    """The messages do not follow where the caller says that they do."""

    code = "out_of_step"
    example = Example(
        "after is 9, but there are only 7 messages. Send the missing ones first.",
        {"after": "There are 7 messages."},
    )


@dataclass(frozen=True, slots=True)
class Appended:
    """The conversation afterward, and how many of the messages were new to it."""

    conversation: Conversation
    added: int


def append(
    *,
    conversation: Conversation,
    messages: object,
    after: object = None,
    now: datetime | None = None,
) -> Appended:
    """Put messages behind those that a conversation has.

    ``after`` is how many messages come before these, by the caller's count. Those that are there
    already are then not added again, so that the same request may be repeated until it succeeds.
    Without it all are added. One that had ended is open again.

    Raises LineRefused for what cannot be read, OutOfStep where others are at that position,
    and Conversation.DoesNotExist where it was erased since.
    """
    now = now or timezone.now()
    if isinstance(after, str):  # a count of the caller's program, not a value of a spreadsheet
        raise inputs.refuse("after", f"must be a number, not {inputs.shown(after)}.")
    position = inputs.integer(after, "after", 2**31 - 1)
    if messages is None:
        raise LineRefused("missing_field", "messages is required.", "messages")
    with transaction.atomic():
        stored = lock_conversation(conversation.pk)
        new: Sequence[Message] = read_messages(messages, stored.started_at)
        if position is not None:
            new = _not_there_yet(stored, new, position)
        if stored.message_count + len(new) > MAX_MESSAGES:
            raise inputs.refuse(
                "messages",
                f"would be {stored.message_count + len(new):,} in all; a conversation has at most "
                f"{MAX_MESSAGES:,}.",
            )
        if new:
            append_messages(stored=stored, messages=new, now=now)
    return Appended(stored, len(new))


def _not_there_yet(
    stored: Conversation, given: Sequence[Message], position: int
) -> Sequence[Message]:
    """Return the messages from a position on that are new. Raises OutOfStep."""
    count = stored.message_count
    messages = "message" if count == 1 else "messages"
    there_are = f"There {'is' if count == 1 else 'are'} {count:,} {messages}."
    field = {"after": there_are}
    if position > count:
        raise OutOfStep(
            f"after is {position:,}, but there {'is' if count == 1 else 'are'} only {count:,} "
            f"{messages}. Send the missing ones first.",
            field,
        )
    if position == count:
        return given
    there = messages_from(stored, position)
    for number, (old, new) in enumerate(zip(there, given, strict=False)):
        if (old["role"], old["content"]) != (new["role"], new["content"]):
            raise OutOfStep(
                f"Message {position + number + 1:,} already exists with different content. "
                f"{there_are}",
                field,
            )
    return given[len(there) :]


@dataclass(frozen=True, slots=True)
class Closing:
    """How a conversation ended, as far as the caller says; empty values follow from the rest."""

    status: str = Status.ENDED.value
    ended_at: datetime | None = None
    duration_ms: int | None = None
    disconnection_reason: str = ""
    analysis: Mapping[str, Any] | None = None


def read_closing(body: Mapping[str, Any]) -> Closing:
    """Return the body of a close. Raises LineRefused."""
    return Closing(
        status=inputs.choice(body.get("status"), "status", CLOSED) or Status.ENDED.value,
        ended_at=inputs.moment(body.get("ended_at"), "ended_at"),
        duration_ms=inputs.integer(body.get("duration_ms"), "duration_ms", 10**12),
        disconnection_reason=inputs.text(
            body.get("disconnection_reason"), "disconnection_reason", 100
        ),
        analysis=read_result(body.get("analysis")),
    )


def close(
    *,
    conversation: Conversation,
    by: Actor,
    closing: Closing | None = None,
    now: datetime | None = None,
) -> Conversation:
    """End an open conversation and ask for its analysis.

    One that has ended stays as it is, but for a result that is sent with its close: it is
    the result where there is none, and stored in the metadata next to one.

    Raises LineRefused for an end before the start, and Conversation.DoesNotExist where it was
    erased since.
    """
    now, closing = now or timezone.now(), closing or Closing()
    with transaction.atomic():
        stored = lock_conversation(conversation.pk)
        if stored.has_ended:
            _take_result(stored, closing, by)
            return stored
        columns = rows.ended(
            stored,
            status=closing.status,
            ended_at=_ended_at(stored, closing, now),
            duration_ms=closing.duration_ms,
            disconnection_reason=closing.disconnection_reason,
            analyze_at=now,
        )
        stored.save(update_fields=list(columns))
        if closing.analysis:
            given = Imported(stored, closing.analysis, at=stored.ended_at)
            record_imported([given], by=by)
        outbox.announce_ended([stored.pk], now=now)
    request_due(among=[stored.pk], now=now)
    return stored


def _take_result(stored: Conversation, closing: Closing, by: Actor) -> None:
    if not closing.analysis:
        return
    busy = {AnalysisState.PENDING, AnalysisState.RUNNING}
    if stored.analyzed_at is None and stored.analysis_state not in busy:
        record_imported([Imported(stored, closing.analysis, at=stored.ended_at)], by=by)
    elif stored.analysis_data != closing.analysis:
        keep_beside(stored, closing.analysis)


def _ended_at(stored: Conversation, closing: Closing, now: datetime) -> datetime:
    """As given, else from start and duration, else now."""
    started, ended = stored.started_at, closing.ended_at
    if ended is None and started and closing.duration_ms is not None:
        ended = started + timedelta(milliseconds=closing.duration_ms)
    if started and ended and ended < started:
        raise LineRefused(
            "invalid_value",
            f"ended_at is before started_at, {started.isoformat()}.",
            "ended_at",
        )
    return max(ended or now, started) if started else ended or now
