"""Write webhook events for results and failures.

Called inside the transaction that records them, under the locks of their conversations: an event
is there if and only if its result is, and events of a conversation are in the order of results.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from apps.core.payloads import moment
from apps.webhooks import outbox
from apps.webhooks.models import EventType
from apps.webhooks.outbox import NewEvent, conversation_part

from .models import Analysis, State


def emit_events(finished: Mapping[int, Sequence[str]]) -> None:
    """Write the events of analyses that are final now: analysis → names of what it changed.

    Each tells as much as its side effects say. Where no endpoint listens, this is one query.
    """
    if not finished or not outbox.has_subscribers(
        EventType.CONVERSATION_ANALYZED, EventType.CONVERSATION_ANALYSIS_FAILED
    ):
        return
    rows = Analysis.objects.filter(pk__in=finished).order_by("pk")
    rows = rows.select_related(
        "config", "agent_version__agent", "conversation__contact", "conversation__attributes"
    ).defer("config__document", "raw_output", "agent_version__editor_document")
    outbox.write(
        [
            _event(analysis, finished[analysis.pk])
            for analysis in rows
            if analysis.side_effects.notifies(finished[analysis.pk], failed=_failed(analysis))
        ]
    )


def _failed(analysis: Analysis) -> bool:
    return analysis.state == State.FAILED


def _event(analysis: Analysis, changed: Sequence[str]) -> NewEvent:
    failed = _failed(analysis)
    kind = EventType.CONVERSATION_ANALYSIS_FAILED if failed else EventType.CONVERSATION_ANALYZED
    payload = failed_payload(analysis) if failed else analyzed_payload(analysis, changed)
    return NewEvent(
        type=kind,
        payload=payload,
        agent_id=analysis.agent_version.agent_id,
        conversation_id=analysis.conversation_id,
    )


def analyzed_payload(analysis: Analysis, changed: Sequence[str]) -> dict[str, Any]:
    """Return the body of ``conversation.analyzed``, with the keys in docs/interfaces.md's order.

    ``changed`` are the fields that differ from the result before; all that are filled where
    there was none.
    """
    return {
        **_head(EventType.CONVERSATION_ANALYZED, analysis),
        "analysis": analysis.ordered_output(),
        **_middle(analysis),
        "changed": list(changed),
        "missing_required": list(analysis.missing_required),
        "conversation": conversation_part(analysis.conversation),
    }


def failed_payload(analysis: Analysis) -> dict[str, Any]:
    """Return the body of ``conversation.analysis_failed``: an error instead of the values."""
    return {
        **_head(EventType.CONVERSATION_ANALYSIS_FAILED, analysis),
        "error_code": analysis.error_code,
        "error_message": analysis.error_message,
        **_middle(analysis),
        "conversation": conversation_part(analysis.conversation),
    }


def _head(kind: EventType, analysis: Analysis) -> dict[str, Any]:
    return {
        "event": kind.value,
        "conversation_id": analysis.conversation.public_id,
        "agent_id": analysis.agent_version.agent.public_id,
        "timestamp": moment(analysis.finished_at),
    }


def _middle(analysis: Analysis) -> dict[str, Any]:
    return {
        "trigger": analysis.trigger,
        "analysis_id": analysis.public_id,
        "agent_version": analysis.agent_version.number,
        "config": analysis.config.name if analysis.config else None,
    }
