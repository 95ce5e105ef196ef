"""How items come back and how runs end; safe to call at any time, from anywhere, twice.

Each run is closed in a transaction of its own: one that cannot be closed does not hold up the
others.
"""

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from apps.accounts import audit
from apps.accounts.actors import Actor
from apps.agents.models import Agent
from apps.analysis import claims
from apps.analysis.estimates import learn_from
from apps.analysis.models import Analysis
from apps.core.log_context import log_context
from apps.core.payloads import moment
from apps.webhooks import outbox
from apps.webhooks.models import EventType
from apps.webhooks.outbox import NewEvent
from apps.work.queue import Lease

from .models import Kind, Run, SkipReason, State
from .schemas import BackfillSchema

logger = logging.getLogger(__name__)

_QUEUE_AGAIN = """
UPDATE runs_runitem i SET state = 'pending', analysis_id = NULL, shipment_id = NULL
FROM analysis_analysis a JOIN runs_run b ON b.public_id = a.backfill_public_id
WHERE a.id = ANY(%s) AND i.run_id = b.id AND i.conversation_id = a.conversation_id
"""


@transaction.atomic
def give_back(leases: Sequence[Lease]) -> None:
    """Undo claims for which nothing was sent: delete the analyses and queue their items again."""
    held = claims.lock_held(leases)
    with connection.cursor() as cursor:
        cursor.execute(_QUEUE_AGAIN, [held])
    claims.delete(held)


def close_finished() -> None:
    """Settle orphaned items and close every run that has nothing left to do."""
    _settle_orphans()
    for run in Run.objects.active():
        try:
            if _close(run) and run.kind == Kind.BACKFILL:
                learn_from(Analysis.objects.filter(pk__in=run.items.values("analysis")))
        except DatabaseError:
            with log_context({"run_id": run.public_id}):
                logger.exception("%s cannot be closed now", run.public_id)


def _close(run: Run) -> bool:
    """Close a run with nothing left to do; return whether this call closed it.

    The run is locked before its items are read: a retry of failed items waits and finds the run
    closed, or has queued them before and is seen here. A run that another process is closing is
    skipped.
    """
    with transaction.atomic():
        locked = Run.objects.select_for_update(no_key=True, skip_locked=True)
        now = locked.active().filter(pk=run.pk).first()
        if now is None:
            return False
        cancelled = now.state == State.CANCELLING
        if _has_work(now, cancelled=cancelled):
            return False
        now.state = State.CANCELLED if cancelled else State.COMPLETED
        now.reason, now.reason_detail, now.finished_at = "", "", timezone.now()
        now.freezing, now.retry_without = False, None
        now.save(
            update_fields=[
                *("state", "reason", "reason_detail", "finished_at", "freezing"),
                "retry_without",
            ]
        )
        if now.kind != Kind.TRIAL:
            audit.record(
                by=Actor.system("backfill"), verb=f"{now.kind}.{now.state}", target=now.public_id
            )
            _announce_completed(now)
    return True


def _has_work(run: Run, *, cancelled: bool) -> bool:
    """Return whether a locked run has anything left to do.

    Of a canceled run, only items in progress are waited for. A million that wait are not written
    again: the state of their run decides (`Run.skips_pending`). Those of a test run, at most
    fifty, are, because its page reads nothing but items.
    """
    if not cancelled:
        if run.freezing or run.retry_without is not None:
            return True
        # Two looks into an index, however many items there are.
        return any(run.items.filter(state=state).exists() for state in ("running", "pending"))
    if run.kind == Kind.TRIAL:
        run.items.filter(state="pending").update(
            state="skipped", skip_reason=SkipReason.CANCELED, finished_at=timezone.now()
        )
    return run.items.filter(state="running").exists()


_ORPHANS = """
UPDATE runs_runitem i SET state = 'failed', error_code = a.error_code,
  error_message = a.error_message, finished_at = clock_timestamp()
FROM analysis_analysis a, runs_run b
WHERE a.id = i.analysis_id AND b.id = i.run_id AND i.state = 'running'
  AND a.state = 'failed' AND b.state IN ('queued', 'running', 'paused', 'cancelling')
"""

_ABANDONED = """
SELECT a.id, a.lease_token FROM analysis_analysis a
JOIN runs_run b ON b.public_id = a.backfill_public_id
WHERE a.priority = 'backfill' AND a.state = 'running' AND a.lease_until < clock_timestamp()
  AND b.state IN ('paused', 'cancelling')
"""


class _Abandoned(NamedTuple):
    """The lease of a worker that is gone."""

    key: int
    token: UUID


def _settle_orphans() -> None:
    """Items whose analysis was given up, and claims that died with a worker of a stopped run."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_ORPHANS)
        cursor.execute(_ABANDONED)
        rows = [_Abandoned(*row) for row in cursor.fetchall()]
        if rows:
            give_back(rows)


def _announce_completed(run: Run) -> None:
    """Write the event of a run that has ended, also of a canceled one: its state says which.

    Call it in the transaction that closes the run. A run that used one agent's prompts concerns
    that agent; a run with several reaches only endpoints of all agents.
    """
    if not outbox.has_subscribers(EventType.BACKFILL_COMPLETED):
        return
    agents = {entry["agent"] for entry in run.plan if entry["conversations"]}
    agent = Agent.objects.filter(public_id__in=agents).first() if len(agents) == 1 else None
    outbox.write(
        [
            NewEvent(
                type=EventType.BACKFILL_COMPLETED,
                payload=_completed_payload(run),
                agent_id=agent.pk if agent else None,
            )
        ]
    )


def _completed_payload(run: Run) -> dict[str, Any]:
    """Return the body of ``backfill.completed``: the same as ``GET /api/backfills/{id}``."""
    shown = BackfillSchema.from_run(run).as_dict()
    names = ("created_at", "started_at", "finished_at")
    times = {name: moment(getattr(run, name)) for name in names}
    return {
        "event": EventType.BACKFILL_COMPLETED.value,
        "backfill_id": run.public_id,
        "timestamp": moment(run.finished_at),
        "state": run.state,
        "backfill": {**shown, **times},
    }
