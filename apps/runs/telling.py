"""Telling other programs that a run has ended: the event ``backfill.completed``."""

from typing import Any

from apps.agents.models import Agent
from apps.webhooks import outbox
from apps.webhooks.models import EventType
from apps.webhooks.outbox import NewEvent
from apps.webhooks.payloads import moment

from .models import Run


def tell_completed(run: Run) -> None:
    """Write the event of a run that has ended, cancelled ones included: its state says which.

    Call it in the transaction that closes the run. A run that read with one agent's prompts
    concerns that agent; one of several reaches only endpoints of all agents.
    """
    if not outbox.wanted(EventType.BACKFILL_COMPLETED):
        return
    agents = {entry["agent"] for entry in run.plan if entry["sessions"]}
    agent = Agent.objects.filter(public_id__in=agents).first() if len(agents) == 1 else None
    outbox.write(
        [
            NewEvent(
                type=EventType.BACKFILL_COMPLETED,
                payload=completed_payload(run),
                agent_id=agent.pk if agent else None,
            )
        ]
    )


def completed_payload(run: Run) -> dict[str, Any]:
    """The body of ``backfill.completed``: the run as ``GET /api/backfills/{id}`` answers it."""
    from .presenting import backfill_json  # noqa: PLC0415 (it reads services, which read closing)

    shown = backfill_json(run)
    times = {name: moment(shown[name]) for name in ("created_at", "started_at", "finished_at")}
    return {
        "event": EventType.BACKFILL_COMPLETED.value,
        "backfill_id": run.public_id,
        "timestamp": moment(run.finished_at),
        "state": run.state,
        "backfill": {**shown, **times},
    }
