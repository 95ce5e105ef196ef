"""Follow-ups of conversations."""

from datetime import datetime
from typing import Annotated, Self

from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_naive, make_aware
from pydantic import Field, PlainValidator

from apps.core.schemas import Body, Choice, Schema, Time, eg, rejected
from apps.follow_ups.models import NOTE_MAX, REASON_MAX, FollowUp, FollowUpState, Origin
from apps.follow_ups.services import InvalidFollowUp

from . import examples
from .common import Page


def _moment(value: object) -> datetime | None:
    """Return an ISO 8601 time, without a zone one of the installation's."""
    problem = "must be an ISO 8601 time such as 2025-01-20T17:00:00Z"
    if value is None:
        return None
    try:
        at = parse_datetime(value) if isinstance(value, str) else None
    except ValueError:
        at = None
    if at is None or not 2000 <= at.year <= 2999:
        raise rejected(problem)
    return make_aware(at) if is_naive(at) else at


DueTime = Annotated[
    datetime | None,
    PlainValidator(_moment, json_schema_input_type=str | None),
    Field(description="ISO 8601, without a zone in the installation's; null for no due time."),
]
Reason = Annotated[str, Field(max_length=REASON_MAX)]
Note = Annotated[str, Field(max_length=NOTE_MAX)]


class FollowUpIn(Body):
    """A follow-up to add to a conversation."""

    missing = InvalidFollowUp
    invalid = InvalidFollowUp
    example = {
        "conversation_id": examples.CONVERSATION_ID,
        "reason": "Call back about the second charge",
        "owner": "ada",
        "due_at": "2025-01-20T17:00:00Z",
    }

    conversation_id: Annotated[str, Field(examples=[examples.CONVERSATION_ID])]
    reason: Reason = ""
    owner: str | None = None
    """The username of an operator, editor, or admin; null for no one yet."""
    due_at: DueTime = None
    note: Note = ""


class FollowUpPatch(Body):
    """The changes; omitted keys stay as they are."""

    invalid = InvalidFollowUp
    example = {"state": "done"}

    reason: Reason | None = None
    owner: str | None = None
    """The username of an operator, editor, or admin; null for no one."""
    due_at: DueTime = None
    note: Note | None = None
    state: Annotated[FollowUpState | None, Choice] = None
    """`done` finishes it, `open` reopens it."""


class FollowUpSchema(Schema):
    """A conversation that someone has to come back to."""

    id: Annotated[str, eg(examples.FOLLOW_UP_ID)]
    conversation_id: Annotated[str, eg(examples.CONVERSATION_ID)]
    agent_id: Annotated[str, eg(examples.AGENT_ID)]
    origin: Annotated[Origin, eg("analysis")]
    """Whether an analysis or a person added it."""
    reason: Annotated[str, eg("Call back about the second charge")]
    owner: Annotated[str | None, eg("ada")]
    due_at: Annotated[Time | None, eg("2025-01-20T17:00:00Z")]
    note: Annotated[str, eg("")]
    state: Annotated[FollowUpState, eg("open")]
    created_at: Annotated[Time, eg("2025-01-18T15:30:00Z")]
    created_by: Annotated[str, eg("Analysis")]
    done_at: Annotated[Time | None, eg(None)]
    done_by: Annotated[str, eg("")]

    @classmethod
    def from_follow_up(cls, row: FollowUp) -> Self:
        """Return a follow-up, loaded with its owner, conversation, and agent."""
        return cls(
            id=row.public_id,
            conversation_id=row.conversation.public_id,
            agent_id=row.conversation.agent.public_id,
            origin=Origin(row.origin),
            reason=row.reason,
            owner=row.owner.username if row.owner else None,
            due_at=row.due_at,
            note=row.note,
            state=row.state,
            created_at=row.created_at,
            created_by=row.created_by,
            done_at=row.done_at,
            done_by=row.done_by,
        )


class FollowUps(Page[FollowUpSchema]):
    """One page of follow-ups."""
