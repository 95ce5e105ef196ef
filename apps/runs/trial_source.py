"""The queue of test runs: their items, in the order in which they were requested."""

import json
from collections.abc import Sequence
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from apps.analysis import claims
from apps.analysis.effects import SideEffects
from apps.analysis.jobs import AnalysisJob, AnalysisOutcome
from apps.analysis.prompts import Facts
from apps.analysis.queues import AnalysisQueue
from apps.analysis.reservations import cap_balances
from apps.llm.errors import ErrorCode
from apps.llm.limits import Lane
from apps.work.leases import WORN_OUT

from .closing import close_finished
from .models import ItemState, Run, RunItem, State
from .trial_caps import keep_within
from .trial_recording import ITEMS, record

#: How many conversations of trials are read at once in a process. Few, so that a person who waits
#: for a rerun never finds more than these before them where a model takes one at a time.
AT_ONCE = 8

_LOAD = """
SELECT i.id, t.public_id, i.lease_token, c.id, c.public_id, g.public_id, t.created_by, i.config_id,
  c.channel, c.started_at, c.duration_ms, c.direction, coalesce(s.messages, '[]'), g.id
FROM runs_runitem i
JOIN runs_run t ON t.id = i.run_id
JOIN conversations_conversation c ON c.id = i.conversation_id
JOIN agents_agentversion v ON v.id = i.agent_version_id
JOIN agents_agent g ON g.id = v.agent_id
LEFT JOIN conversations_transcript s ON s.conversation_id = c.id
WHERE i.id = ANY(%s) ORDER BY i.id
"""


class TrialSource(AnalysisQueue):
    """Items of all trials. A job's ``analysis_id`` is the key of its item: there is no analysis."""

    name = "trials"
    table = ITEMS
    concurrency = AT_ONCE

    def claim(self, limit: int) -> list[AnalysisJob]:
        """Take up to ``limit`` items that wait or whose worker is gone."""
        trials = Run.objects.trials()
        runs = dict(trials.active().values_list("pk", "state"))
        if not runs:
            return []
        if State.QUEUED in runs.values():
            queued = trials.filter(pk__in=runs, state=State.QUEUED)
            queued.update(state=State.RUNNING, started_at=timezone.now())
        with transaction.atomic():
            balances = cap_balances()
            taken = ITEMS.take(limit=limit, where="r.run_id = ANY(%(runs)s)", runs=list(runs))
            keys = keep_within(taken.keys, balances) if balances else taken.keys
        _give_up(taken.worn_out)
        jobs = _load(keys)
        # What a worker that is gone had taken of a trial that was cancelled since.
        if over := self.stopped(jobs):
            self.hand_back(over)
        return [job for job in jobs if job not in over]

    def record(self, outcomes: Sequence[AnalysisOutcome]) -> None:
        record(outcomes)

    def hand_back(self, jobs: Sequence[AnalysisJob]) -> None:
        """What was not sent waits again, or is over where its trial was cancelled."""
        with transaction.atomic():
            ITEMS.release(jobs)
            RunItem.objects.filter(
                pk__in=[job.key for job in jobs],
                state=ItemState.PENDING,
                run__state=State.CANCELLING,
            ).update(state=ItemState.SKIPPED, finished_at=timezone.now())

    def stopped(self, jobs: Sequence[AnalysisJob]) -> list[AnalysisJob]:
        """The jobs of trials that were cancelled since they were claimed."""
        rows = RunItem.objects.filter(pk__in=[job.analysis_id for job in jobs])
        going = set(rows.exclude(run__state=State.CANCELLING).values_list("pk", flat=True))
        return [job for job in jobs if job.analysis_id not in going]

    def abandoned(self, jobs: Sequence[AnalysisJob]) -> list[AnalysisJob]:
        """Return the jobs of trials that were canceled."""
        return self.stopped(jobs)

    def finished(self) -> None:
        """Close every run that has nothing left to do."""
        close_finished()


def _give_up(item_ids: Sequence[int]) -> None:
    """Fail what every worker died of, so that it does not go round for ever."""
    if item_ids:
        RunItem.objects.filter(pk__in=item_ids, state=ItemState.RUNNING).update(
            state=ItemState.FAILED,
            error_code=ErrorCode.INTERNAL,
            error_message=WORN_OUT,
            lease_until=None,
            finished_at=timezone.now(),
        )


def _load(item_ids: Sequence[int]) -> list[AnalysisJob]:
    """Everything that requests about these claimed items need, in two queries."""
    if not item_ids:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_LOAD, [list(item_ids)])
        rows = cursor.fetchall()
    configs = claims.load_configs({row[7] for row in rows})
    return [_job(row, configs[row[7]]) for row in rows]


def _job(row: Sequence[Any], config: claims.LoadedConfig) -> AnalysisJob:
    return AnalysisJob(
        analysis_id=row[0],
        public_id=row[1],
        token=row[2],
        conversation_id=row[3],
        conversation_public_id=row[4],
        agent_id=row[13],
        agent_public_id=row[5],
        trigger="",  # of no analysis: a model that is free on first run is charged here
        requested_by=row[6],
        columns={},
        config=config.document,
        config_id=row[7],
        config_sha256=config.sha256,
        spec=config.spec,
        facts=Facts(
            channel=row[8], started_at=row[9], duration_ms=row[10], direction=row[11] or ""
        ),
        messages=json.loads(row[12]),
        lane=Lane.INTERACTIVE.value,
        side_effects=SideEffects(),
    )
