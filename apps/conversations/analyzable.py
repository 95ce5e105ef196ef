"""Which conversations no model can read, and why: one table of rules for Python and SQL."""

from django.db.models import Case, CharField, Value, When

from apps.agents.models import Channel

from .models import Conversation, Reason, Status

_RULES: tuple[tuple[Reason, str, tuple[object, ...]], ...] = (
    (Reason.NOT_ENDED, "status", (Status.REGISTERED, Status.ONGOING)),
    (Reason.NOT_CONNECTED, "status", (Status.NOT_CONNECTED,)),
    (Reason.EMPTY, "message_count", (0,)),
    (Reason.NO_SPEECH, "has_speech", (False,)),
)
"""The reason that applies where a column has one of these values. The first match counts."""

NOT_ANALYZABLE = frozenset(reason for reason, _, _ in _RULES)


def not_analyzable_reason(conversation: Conversation) -> Reason | None:
    """Return why no model can read a conversation, or None where one can."""
    for reason, column, values in _RULES:
        if getattr(conversation, column) in values:
            return reason
    return None


def not_analyzable_case() -> Case:
    """Return `not_analyzable_reason` as an SQL expression, empty where a model can read it."""
    return Case(
        *(
            When(**{f"{column}__in": values}, then=Value(reason.value))
            for reason, column, values in _RULES
        ),
        default=Value(""),
        output_field=CharField(),
    )


def not_analyzable_sentence(conversation: Conversation) -> str:
    """Return why no model can read a conversation, as a message; empty where one can."""
    reason = not_analyzable_reason(conversation)
    kind = Channel(conversation.channel).noun(1)
    return f"This {kind} can’t be analyzed: {reason.label}." if reason else ""
