"""Analyses as jobs: lease the ones that wait, load what their requests need, give them up.

Analyses of a run begin as claimed, and are deleted where nothing was sent. That happens in the
caller's transaction, which writes the items of the run.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import OuterRef
from django.utils import timezone

from apps.agents.documents import ConfigDocument
from apps.agents.models import AnalysisConfig
from apps.conversations.models import AnalysisState, Conversation
from apps.llm.errors import ErrorCode
from apps.llm.specs import ModelSpec
from apps.work.queue import Lease, LeasedTable

from .effects import SideEffects, emit_events
from .models import Analysis, State, analysis_id
from .prompts import Facts
from .results import lock_conversations


@dataclass(frozen=True, slots=True)
class Tier:
    """At which service tier of its provider a job asks: ``name`` is empty for the standard one.

    ``falls_back``: the standard tier is asked where the other one has no capacity for long.
    """

    name: str = ""
    falls_back: bool = False


@dataclass(slots=True)
class AnalysisJob:
    """A claimed analysis with everything that a request needs; held by ``token``.

    ``reserved`` is the money set aside for its request, where a budget or a cap is set.
    """

    analysis_id: int
    public_id: str
    token: UUID
    conversation_id: int
    conversation_public_id: str
    agent_id: int
    agent_public_id: str
    trigger: str
    requested_by: str
    columns: dict[str, str]
    config: ConfigDocument
    config_id: int
    config_sha256: str
    spec: ModelSpec
    facts: Facts
    messages: list[dict[str, Any]]
    priority: str
    side_effects: SideEffects
    backfill_public_id: str = ""
    backfill_id: int | None = None
    item_id: int | None = None
    tries: int = 0
    transcript_tokens: int | None = None
    reserved: Decimal | None = None
    tier: Tier = Tier()

    @property
    def key(self) -> int:
        """Return the key of the leased row."""
        return self.analysis_id

    @property
    def log_ids(self) -> dict[str, str]:
        """Return the IDs that log lines about the job carry."""
        ids = {"conversation_id": self.conversation_public_id, "analysis_id": self.public_id}
        return ids | ({"run_id": self.backfill_public_id} if self.backfill_public_id else {})


ANALYSES = LeasedTable(
    "analysis_analysis",
    seconds=settings.ANALYSIS_LEASE_SECONDS,
    due="(r.not_before IS NULL OR r.not_before <= clock_timestamp())",
)
_CLAIMABLE = (
    "r.priority = %(priority)s AND"
    " (%(runs)s::text[] IS NULL OR r.backfill_public_id = ANY(%(runs)s::text[]))"
)


def claim(*, priority: str, limit: int, runs: Sequence[str] | None = None) -> list[int]:
    """Lease up to ``limit`` waiting or abandoned analyses of one priority; return their ids.

    ``runs`` limits it to analyses of these backfills (public ids). Those that were abandoned too
    often fail as ``internal`` and are left out.
    """
    of_runs = None if runs is None else list(runs)
    claimed = ANALYSES.claim(limit=limit, where=_CLAIMABLE, priority=priority, runs=of_runs)
    # By itself, after the leases are committed: it locks conversations, which come before
    # analyses wherever both are locked.
    fail_abandoned(claimed.exhausted)
    return claimed.keys


def fail_abandoned(analysis_ids: Sequence[int]) -> None:
    """Fail analyses that stopped every worker, so that they are not retried forever.

    Items of backfills follow in the sweep that closes runs.
    """
    if not analysis_ids:
        return
    failed = Analysis.objects.filter(pk__in=analysis_ids, state=State.RUNNING)
    with transaction.atomic():
        conversations = list(failed.values_list("conversation_id", flat=True))
        lock_conversations(conversations)
        given_up = ANALYSES.give_up(analysis_ids)
        Conversation.objects.filter(pk__in=conversations).exclude(
            analysis_state="succeeded"
        ).update(analysis_state="failed", analysis_reason=ErrorCode.INTERNAL)
        emit_events(dict.fromkeys(given_up, ()))


def give_way(conversation_ids: Sequence[int]) -> None:
    """End first analyses that wait, as failures: another analysis takes their place now.

    Call it in a transaction that holds the locks of the conversations.
    """
    rows = Analysis.objects.filter(
        conversation__in=conversation_ids, state=State.PENDING, not_before__gt=timezone.now()
    )
    waiting = dict(rows.order_by("pk").select_for_update().values_list("conversation", "pk"))
    if not waiting:
        return
    Analysis.objects.filter(pk__in=waiting.values()).update(
        state=State.FAILED, not_before=None, reserved=None, finished_at=timezone.now()
    )
    Conversation.objects.filter(pk__in=waiting, analysis_state=AnalysisState.PENDING).update(
        analysis_state=AnalysisState.FAILED,
        analysis_reason=Analysis.objects.filter(
            conversation=OuterRef("pk"), pk__in=waiting.values()
        ).values("error_code")[:1],
    )


_LOAD = """
SELECT a.id, a.public_id, a.lease_token, c.id, c.public_id, g.public_id, a.trigger,
  a.requested_by, a.columns, a.config_id, c.channel, c.started_at, c.duration_ms, c.direction,
  coalesce(t.messages, '[]'), a.backfill_public_id, a.priority, a.webhooks, a.tries,
  c.prompt_tokens_est, a.contacts, g.id, a.reserved
FROM analysis_analysis a
JOIN conversations_conversation c ON c.id = a.conversation_id
JOIN agents_agentversion v ON v.id = a.agent_version_id
JOIN agents_agent g ON g.id = v.agent_id
LEFT JOIN conversations_transcript t ON t.conversation_id = c.id
WHERE a.id = ANY(%s) ORDER BY a.id
"""


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A config that the jobs of one claim share."""

    sha256: str
    document: ConfigDocument
    spec: ModelSpec


def load_jobs(analysis_ids: Sequence[int]) -> list[AnalysisJob]:
    """Load everything that requests about these claimed analyses need, in two queries."""
    return read_jobs(_LOAD, analysis_ids)


def read_jobs(statement: str, ids: Sequence[int]) -> list[AnalysisJob]:
    """Run a statement with the columns of `_LOAD` for these keys, and return its rows as jobs."""
    if not ids:
        return []
    with connection.cursor() as cursor:
        cursor.execute(statement, [list(ids)])
        rows = cursor.fetchall()
    configs = load_configs({row[9] for row in rows})
    return [_job(row, configs[row[9]]) for row in rows]


def load_configs(ids: set[int]) -> dict[int, LoadedConfig]:
    """Load these configs, parsed, with their models and own parameters."""
    found = {}
    for config in AnalysisConfig.objects.select_related("model").filter(pk__in=ids):
        document = config.parsed()
        spec = replace(config.model.spec(), parameters=document.parameters)
        found[config.pk] = LoadedConfig(config.sha256, document, spec)
    return found


def _job(row: Sequence[Any], config: LoadedConfig) -> AnalysisJob:
    return AnalysisJob(
        analysis_id=row[0],
        public_id=row[1],
        token=row[2],
        conversation_id=row[3],
        conversation_public_id=row[4],
        agent_id=row[21],
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
        priority=row[16],
        side_effects=SideEffects(contacts=row[20], webhooks=row[17]),
        tries=row[18],
        transcript_tokens=row[19],
        reserved=row[22],
    )


@dataclass(frozen=True, slots=True)
class NewRunAnalysis:
    """What one analysis of a run reads, and with what; ``columns`` as JSON text.

    ``reserved`` is what its request may cost at most, where that is to be set aside.
    """

    conversation_id: int
    config_id: int
    version_id: int
    columns: str
    reserved: Decimal | None = None


_START = """
INSERT INTO analysis_analysis (public_id, conversation_id, config_id, agent_version_id, columns,
  trigger, priority, state, requested_by, backfill_public_id, lease_token, lease_until, attempts,
  is_current, field_order, missing_required, truncated, raw_output, error_code, error_message,
  model, request_id, requests, contacts, webhooks, reserved)
SELECT v.public_id, v.conversation_id, v.config_id, v.version_id, v.columns::jsonb, 'backfill',
  'backfill', 'running', %(by)s, %(run)s, %(token)s,
  clock_timestamp() + make_interval(secs => %(lease)s), 1, false, '[]', '[]', false, '', '', '',
  '', '', 0, %(contacts)s, %(webhooks)s, v.reserved
FROM unnest(%(ids)s::text[], %(conversations)s::bigint[], %(configs)s::bigint[],
  %(versions)s::bigint[], %(columns)s::text[], %(reserved)s::numeric[])
  AS v(public_id, conversation_id, config_id, version_id, columns, reserved)
ON CONFLICT DO NOTHING
RETURNING conversation_id, id
"""


def start_for_run(
    analyses: Sequence[NewRunAnalysis], *, run: str, by: str, token: UUID, effects: SideEffects
) -> dict[int, int]:
    """Start a claimed analysis of each conversation that has none in progress.

    Return the new analysis of each conversation. ``run`` is the run's public ID.
    """
    values: dict[str, Any] = {
        **effects.as_dict(),
        "by": by,
        "run": run,
        "token": token,
        "lease": ANALYSES.seconds,
        "ids": [analysis_id() for _ in analyses],
        "conversations": [one.conversation_id for one in analyses],
        "configs": [one.config_id for one in analyses],
        "versions": [one.version_id for one in analyses],
        "columns": [one.columns for one in analyses],
        "reserved": [one.reserved for one in analyses],
    }
    with connection.cursor() as cursor:
        cursor.execute(_START, values)
        return dict(cursor.fetchall())


def lock_held(leases: Sequence[Lease]) -> list[int]:
    """Lock the analyses of a run that these leases still hold, and return them."""
    return [pk for pk, state in ANALYSES.lock(leases).items() if state == State.RUNNING]


def delete(analysis_ids: Sequence[int]) -> None:
    """Delete analyses for which nothing was sent."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM analysis_analysis WHERE id = ANY(%s)", [list(analysis_ids)])
