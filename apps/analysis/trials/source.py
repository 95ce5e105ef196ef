"""The engine's work: conversations of trials, in the order in which they were asked for."""

import json
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from django.db import connection
from django.utils import timezone

from apps.analysis import claiming
from apps.analysis.effects import SideEffects, Webhooks
from apps.analysis.prompts import Facts
from apps.analysis.work import Job, Outcome
from apps.llm.errors import ErrorCode
from apps.llm.limits import Lane

from .models import ItemState, TrialItem
from .recording import record

#: How many conversations of trials are read at once in a process. Few, so that a person who waits
#: for a rerun never finds more than these before them where a model takes one at a time.
AT_ONCE = 8

_TAKE = """
WITH free AS MATERIALIZED (
  SELECT i.id FROM analysis_trialitem i
  WHERE i.state IN ('pending', 'running')
    AND (i.state = 'pending' OR i.lease_until < clock_timestamp()
      AND pg_postmaster_start_time() < clock_timestamp() - make_interval(secs => %(restart)s))
  ORDER BY i.id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
UPDATE analysis_trialitem i SET state = 'running', lease_token = %(token)s,
  lease_until = clock_timestamp() + make_interval(secs => %(lease)s), attempts = i.attempts + 1
FROM free WHERE i.id = free.id
RETURNING i.id, i.attempts
"""

_LOAD = """
SELECT i.id, t.public_id, i.lease_token, c.id, c.public_id, g.public_id, t.created_by, i.config_id,
  c.channel, c.started_at, c.duration_ms, c.direction, coalesce(s.messages, '[]')
FROM analysis_trialitem i
JOIN analysis_trial t ON t.id = i.trial_id
JOIN conversations_conversation c ON c.id = i.conversation_id
JOIN agents_agentversion v ON v.id = i.agent_version_id
JOIN agents_agent g ON g.id = v.agent_id
LEFT JOIN conversations_transcript s ON s.conversation_id = c.id
WHERE i.id = ANY(%s) ORDER BY i.id
"""

# What was taken from a worker when its trial was cancelled is not asked for again.
_RELEASE = """
UPDATE analysis_trialitem i SET
  state = CASE WHEN t.cancelled_at IS NULL THEN 'pending' ELSE 'cancelled' END,
  finished_at = CASE WHEN t.cancelled_at IS NULL THEN NULL ELSE clock_timestamp() END,
  lease_token = NULL, lease_until = NULL, attempts = greatest(i.attempts - 1, 0)
FROM unnest(%s::bigint[], %s::uuid[]) AS v(id, token), analysis_trial t
WHERE i.id = v.id AND i.lease_token = v.token AND i.state = 'running' AND t.id = i.trial_id
"""

# A row that is locked is being recorded or handed back this moment: waiting could be a deadlock.
_EXTEND = """
WITH mine AS MATERIALIZED (
  SELECT i.id FROM analysis_trialitem i
  JOIN unnest(%s::bigint[], %s::uuid[]) AS v(id, token) ON v.id = i.id
  WHERE i.lease_token = v.token AND i.state = 'running' FOR UPDATE OF i SKIP LOCKED)
UPDATE analysis_trialitem i SET lease_until = clock_timestamp() + make_interval(secs => %s)
FROM mine WHERE i.id = mine.id
"""


class TrialSource:
    """Items of all trials. A job's ``analysis_id`` is the key of its item: there is no analysis."""

    lane: str = "trials"

    def claim(self, limit: int) -> list[Job]:
        """Take up to ``limit`` items that wait or whose worker is gone."""
        with connection.cursor() as cursor:
            cursor.execute(
                _TAKE,
                {
                    "limit": limit,
                    "token": uuid4(),
                    "lease": claiming.LEASE_SECONDS,
                    "restart": claiming.RESTART_SECONDS,
                },
            )
            taken = cursor.fetchall()
        _give_up([pk for pk, attempts in taken if attempts > claiming.MAX_ATTEMPTS])
        jobs = _load([pk for pk, attempts in taken if attempts <= claiming.MAX_ATTEMPTS])
        # What a worker that is gone had taken of a trial that was cancelled since.
        self.hand_back(over := self.stopped(jobs))
        return [job for job in jobs if job not in over]

    def extend(self, jobs: Sequence[Job]) -> None:
        with connection.cursor() as cursor:
            cursor.execute(_EXTEND, [*_keys(jobs), claiming.LEASE_SECONDS])

    def record(self, outcomes: Sequence[Outcome]) -> None:
        record(outcomes)

    def hand_back(self, jobs: Sequence[Job]) -> None:
        """What was not sent waits again, or is over where its trial was cancelled."""
        with connection.cursor() as cursor:
            cursor.execute(_RELEASE, _keys(jobs))

    def stopped(self, jobs: Sequence[Job]) -> list[Job]:
        """The jobs of trials that were cancelled since they were claimed."""
        rows = TrialItem.objects.filter(pk__in=[job.analysis_id for job in jobs])
        going = set(rows.filter(trial__cancelled_at=None).values_list("pk", flat=True))
        return [job for job in jobs if job.analysis_id not in going]

    def pause(self, outcome: Outcome) -> bool:
        """A person waits for the answer: it is the reason, as a failure."""
        return False

    def put_off(self, outcome: Outcome) -> bool:
        """A person waits for the answer: the fault is the answer."""
        return False

    def abandoned(self, jobs: Sequence[Job]) -> list[Job]:
        """Those of trials that were cancelled."""
        return self.stopped(jobs)

    def finished(self) -> None:
        """A trial is over when its items are."""


def _keys(jobs: Sequence[Job]) -> list[list[Any]]:
    return [[job.analysis_id for job in jobs], [job.token for job in jobs]]


def _give_up(item_ids: Sequence[int]) -> None:
    """Fail what every worker died of, so that it does not go round for ever."""
    if item_ids:
        TrialItem.objects.filter(pk__in=item_ids, state=ItemState.RUNNING).update(
            state=ItemState.FAILED,
            error_code=ErrorCode.INTERNAL,
            error_message=f"{claiming.MAX_ATTEMPTS} workers ended while they were at it.",
            lease_until=None,
            finished_at=timezone.now(),
        )


def _load(item_ids: Sequence[int]) -> list[Job]:
    """Everything that requests about these claimed items need, in two queries."""
    if not item_ids:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_LOAD, [list(item_ids)])
        rows = cursor.fetchall()
    configs = claiming.load_configs({row[7] for row in rows})
    return [_job(row, configs[row[7]]) for row in rows]


def _job(row: Sequence[Any], config: claiming.LoadedConfig) -> Job:
    return Job(
        analysis_id=row[0],
        public_id=row[1],
        token=row[2],
        conversation_id=row[3],
        conversation_public_id=row[4],
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
        side_effects=SideEffects(Webhooks.OFF.value),
    )
