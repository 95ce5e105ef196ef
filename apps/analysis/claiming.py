"""Taking work: analyses that wait or whose worker is gone, leased to whoever asks.

A lease is a token and a time on the Analysis. A heartbeat moves the time on; a row whose time has
passed belongs to nobody and is taken by the next claim, with a new token.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from apps.agents.documents import ConfigDocument
from apps.agents.models import AnalysisConfig
from apps.conversations.models import Conversation
from apps.llm.errors import ErrorCode
from apps.llm.specs import ModelSpec

from .current import lock_conversations
from .effects import SideEffects
from .models import Analysis, State
from .prompts import Facts
from .telling import tell
from .work import Job

#: How long a claim holds without a word from its worker, and how often the worker gives one.
LEASE_SECONDS: float = settings.ANALYSIS_LEASE_SECONDS
HEARTBEAT_SECONDS = LEASE_SECONDS / 4
#: How long after a start of the database no lease counts as run out: it may have run out while
#: the database was away, and its worker may hold an answer that is paid for.
RESTART_SECONDS = LEASE_SECONDS

#: A row that killed its worker this often is not given to another one.
MAX_ATTEMPTS = 5

# The CTE is materialised because a plan that ran it again for each row would lease more than asked.
_TAKE = """
WITH free AS MATERIALIZED (
  SELECT id FROM analysis_analysis
  WHERE lane = %(lane)s AND state IN ('pending', 'running')
    AND (state = 'pending' AND (not_before IS NULL OR not_before <= clock_timestamp())
      OR state = 'running' AND lease_until < clock_timestamp()
      AND pg_postmaster_start_time() < clock_timestamp() - make_interval(secs => %(restart)s))
    AND (%(runs)s::text[] IS NULL OR backfill_public_id = ANY(%(runs)s))
  ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
UPDATE analysis_analysis a SET state = 'running', lease_token = %(token)s,
  lease_until = clock_timestamp() + make_interval(secs => %(lease)s), attempts = a.attempts + 1
FROM free WHERE a.id = free.id
RETURNING a.id, a.attempts
"""


def take(*, lane: str, limit: int, runs: Sequence[str] | None = None) -> list[int]:
    """Lease up to ``limit`` waiting or abandoned analyses of a lane; their ids.

    ``runs`` limits it to analyses of these backfills (public ids). Those that were abandoned too
    often fail as ``internal`` and are left out.
    """
    values: dict[str, Any] = {
        "lane": lane,
        "limit": limit,
        "runs": None if runs is None else list(runs),
        "token": uuid4(),
        "lease": LEASE_SECONDS,
        "restart": RESTART_SECONDS,
    }
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, values)
        taken = cursor.fetchall()
    # By itself, after the leases are committed: it locks conversations, which come before
    # analyses wherever both are locked.
    give_up([pk for pk, attempts in taken if attempts > MAX_ATTEMPTS])
    return sorted(pk for pk, attempts in taken if attempts <= MAX_ATTEMPTS)


def give_up(analysis_ids: Sequence[int]) -> None:
    """Fail analyses that every worker died of, so that they do not go round for ever.

    Items of backfills follow in the sweep that closes runs.
    """
    if not analysis_ids:
        return
    failed = Analysis.objects.filter(pk__in=analysis_ids, state=State.RUNNING)
    with transaction.atomic():
        conversations = list(failed.values_list("conversation_id", flat=True))
        lock_conversations(conversations)
        given_up = list(failed.select_for_update(no_key=True).values_list("pk", flat=True))
        failed.update(
            state=State.FAILED,
            error_code=ErrorCode.INTERNAL,
            error_message=f"{MAX_ATTEMPTS} workers ended while they were at it.",
            lease_until=None,
            finished_at=timezone.now(),
        )
        Conversation.objects.filter(pk__in=conversations).exclude(
            analysis_state="succeeded"
        ).update(analysis_state="failed", analysis_reason=ErrorCode.INTERNAL)
        tell(dict.fromkeys(given_up, ()))


def extend(jobs: Sequence[Job]) -> None:
    """The heartbeat: the jobs that this worker still holds are its own for another while.

    A row that is locked is being recorded or handed back this moment: it needs no extension, and
    waiting for it could be a deadlock.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH mine AS MATERIALIZED ("
            " SELECT a.id FROM analysis_analysis a"
            " JOIN unnest(%s::bigint[], %s::uuid[]) AS v(id, token) ON v.id = a.id"
            " WHERE a.lease_token = v.token AND a.state = 'running' FOR UPDATE OF a SKIP LOCKED)"
            " UPDATE analysis_analysis a"
            " SET lease_until = clock_timestamp() + make_interval(secs => %s)"
            " FROM mine WHERE a.id = mine.id",
            [[j.analysis_id for j in jobs], [j.token for j in jobs], LEASE_SECONDS],
        )


def release(jobs: Sequence[Job]) -> None:
    """Hand back analyses for which nothing was sent: anybody may take them at once."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE analysis_analysis a SET state = 'pending', lease_token = NULL,"
            " lease_until = NULL, attempts = greatest(a.attempts - 1, 0)"
            " FROM unnest(%s::bigint[], %s::uuid[]) AS v(id, token)"
            " WHERE a.id = v.id AND a.lease_token = v.token AND a.state = 'running'",
            [[j.analysis_id for j in jobs], [j.token for j in jobs]],
        )


_LOAD = """
SELECT a.id, a.public_id, a.lease_token, c.id, c.public_id, g.public_id, a.trigger,
  a.requested_by, a.columns, a.config_id, c.channel, c.started_at, c.duration_ms, c.direction,
  coalesce(t.messages, '[]'), a.backfill_public_id, a.lane, a.webhooks, a.tries,
  c.prompt_tokens_est
FROM analysis_analysis a
JOIN conversations_conversation c ON c.id = a.conversation_id
JOIN agents_agentversion v ON v.id = a.agent_version_id
JOIN agents_agent g ON g.id = v.agent_id
LEFT JOIN conversations_transcript t ON t.conversation_id = c.id
WHERE a.id = ANY(%s) ORDER BY a.id
"""


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A config as the jobs of one claim share it."""

    sha256: str
    document: ConfigDocument
    spec: ModelSpec


def load_jobs(analysis_ids: Sequence[int]) -> list[Job]:
    """Everything that requests about these claimed analyses need, in two queries."""
    if not analysis_ids:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_LOAD, [list(analysis_ids)])
        rows = cursor.fetchall()
    configs = load_configs({row[9] for row in rows})
    return [_job(row, configs[row[9]]) for row in rows]


def load_configs(ids: set[int]) -> dict[int, LoadedConfig]:
    """The configs of these keys, parsed, with their models' own parameters."""
    found = {}
    for config in AnalysisConfig.objects.select_related("model").filter(pk__in=ids):
        document = config.parsed()
        spec = replace(config.model.spec(), parameters=document.parameters)
        found[config.pk] = LoadedConfig(config.sha256, document, spec)
    return found


def _job(row: Sequence[Any], config: LoadedConfig) -> Job:
    return Job(
        analysis_id=row[0],
        public_id=row[1],
        token=row[2],
        conversation_id=row[3],
        conversation_public_id=row[4],
        agent_public_id=row[5],
        trigger=row[6],
        requested_by=row[7],
        columns=json.loads(row[8]),
        config=config.document,
        config_id=row[9],
        config_sha256=config.sha256,
        spec=config.spec,
        facts=Facts(
            channel=row[10], started_at=row[11], duration_ms=row[12], direction=row[13] or ""
        ),
        messages=json.loads(row[14]),
        backfill_public_id=row[15],
        lane=row[16],
        side_effects=SideEffects(row[17]),
        tries=row[18],
        transcript_tokens=row[19],
    )
