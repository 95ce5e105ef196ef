"""Queues of analyses: their base class, and those of reruns and of first analyses."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from apps.conversations.models import Conversation, Reason, Trigger
from apps.llm.client import LlmClient
from apps.llm.errors import PauseReason
from apps.llm.models import LanguageModel
from apps.llm.reservations import CapBalance, cap_balances, hold
from apps.llm.specs import Priority
from apps.work.queue import Queue, Verdict

from . import claims, recovery
from .claims import ANALYSES, AnalysisJob
from .estimates import HighestCost
from .model_call import AnalysisOutcome, MayRepeat, perform
from .models import Analysis
from .record import Recorded, record

#: This many failures of the provider in a row, over this many seconds, and the run is paused.
DOWN_AFTER = 20
DOWN_SECONDS = 10.0
_DOWN_CODES = frozenset({"connection", "timeout", "provider_error"})


@dataclass(slots=True)
class _Health:
    """Whether the provider seems to be down: failures in a row and when they began."""

    failures: int = 0
    since: float = 0.0

    def note(self, outcome: AnalysisOutcome) -> bool:
        """Take an outcome into account; return whether the provider seems to be down."""
        if outcome.error_code not in _DOWN_CODES:
            self.failures = 0
            return False
        if not self.failures:
            self.since = time.monotonic()
        self.failures += 1
        return self.failures >= DOWN_AFTER and time.monotonic() - self.since >= DOWN_SECONDS


class AnalysisQueue(Queue[AnalysisJob, AnalysisOutcome]):
    """What every queue does whose jobs ask a model about a conversation."""

    table = claims.ANALYSES
    client_class = LlmClient

    def __init__(self) -> None:
        self._health = _Health()

    @property
    def concurrency(self) -> int:
        return int(settings.ANALYSIS_CONCURRENCY)

    async def perform(
        self, job: AnalysisJob, client: LlmClient, on_send: Callable[[], None]
    ) -> AnalysisOutcome:
        outcome = await perform(job, client, on_send=on_send, may_repeat=self.may_repeat(job))
        if self._health.note(outcome) and not outcome.pause:
            outcome.pause = PauseReason.PROVIDER_DOWN.value
        return outcome

    def may_repeat(self, job: AnalysisJob) -> MayRepeat | None:
        """Return the question before a further request of a job; None: it is allowed."""
        return None

    def record(self, outcomes: Sequence[AnalysisOutcome]) -> None:
        record(outcomes, settle=self.settle)

    def settle(self, recorded: Sequence[Recorded]) -> None:
        """Update the queue's own rows. Called inside the transaction that records."""

    def is_setback(self, outcome: AnalysisOutcome) -> bool:
        return bool(outcome.pause) or outcome.can_wait

    def judge(self, outcome: AnalysisOutcome) -> Verdict:
        if outcome.pause and self.pause(outcome):
            return Verdict.HAND_BACK
        if outcome.can_wait and self.put_off(outcome):
            return Verdict.PUT_OFF
        return Verdict.RECORD

    def charge(self, outcome: AnalysisOutcome) -> None:
        # Its lease is gone, so nothing but its cost is recorded.
        if outcome.usage.total:
            self.record([outcome])

    def pause(self, outcome: AnalysisOutcome) -> bool:
        """Pause the run of a job; return whether that was done. A person waits for a response, and
        gets the reason as a failure."""
        return False

    def put_off(self, outcome: AnalysisOutcome) -> bool:
        """Let a later claim try the job again; return whether that was done."""
        return False


class RerunQueue(AnalysisQueue):
    """Reruns, which a person waits for, oldest first."""

    name = Priority.INTERACTIVE.value

    def claim(self, limit: int) -> list[AnalysisJob]:
        return claims.load_jobs(claims.claim(priority=self.name, limit=limit))


class FirstAnalysisQueue(AnalysisQueue):
    """First analyses, oldest first, as far as the spending caps allow."""

    name = Priority.LIVE.value

    def __init__(self) -> None:
        super().__init__()
        self._waiting: set[int] = set()

    def claim(self, limit: int) -> list[AnalysisJob]:
        return claims.load_jobs(_claim_within_caps(limit))

    def hand_back(self, jobs: Sequence[AnalysisJob]) -> None:
        """Give up jobs and release the money reserved for them."""
        self.table.release(jobs, setting="reserved = NULL")

    def record(self, outcomes: Sequence[AnalysisOutcome]) -> None:
        """Record outcomes, and release the analyses that wait for a model that responds again."""
        super().record(outcomes)
        answered = {o.job.config_id for o in outcomes if not o.error_code}
        self._waiting.update(o.job.config_id for o in outcomes if o.job.tries)
        if back := answered & self._waiting:
            self._waiting -= back
            recovery.release(back)

    def put_off(self, outcome: AnalysisOutcome) -> bool:
        """Let a first analysis wait for its provider."""
        if not recovery.put_off(outcome):
            return False
        self._waiting.add(outcome.job.config_id)
        return True


# Free work, and work for which money is set aside already, is never held back. Under a cap, a model
# needs a price. An empty ID in an array is that of the installation.
_ALLOWED = """
(r.reserved IS NOT NULL OR NOT EXISTS (
  SELECT 1 FROM agents_analysisconfig k JOIN llm_languagemodel m ON m.id = k.model_id
  JOIN agents_agentversion v ON v.id = r.agent_version_id JOIN agents_agent g ON g.id = v.agent_id
  WHERE k.id = r.config_id AND NOT m.is_local AND NOT m.free_first_run
    AND (ARRAY['', g.public_id]::text[] && %(blocked)s::text[]
      OR m.id = ANY(%(unpriced)s) AND ARRAY['', g.public_id]::text[] && %(capped)s::text[])))
"""


def _claim_within_caps(limit: int) -> list[int]:
    """Lease first analyses as `claims.claim` does, as far as the caps allow.

    The others stay pending, and their conversations say so.
    """
    with transaction.atomic():
        balances = cap_balances()
        if balances:
            held: dict[str, list[Any]] = {
                "blocked": [one.cap.agent_id for one in balances if one.balance.left <= 0],
                "capped": [one.cap.agent_id for one in balances],
                "unpriced": [m.pk for m in LanguageModel.objects.all() if not m.price_known],
            }
            claimed = ANALYSES.claim(
                limit=limit, where=f"r.priority = 'live' AND {_ALLOWED}", **held
            )
            keys = _set_aside(claimed.keys, balances)
            if held["blocked"] or held["unpriced"]:
                _mark_waiting(held)
    if not balances:
        return claims.claim(priority="live", limit=limit)
    claims.fail_abandoned(claimed.exhausted)
    return keys


def _set_aside(analysis_ids: Sequence[int], balances: Sequence[CapBalance]) -> list[int]:
    """Reserve the cost of claimed analyses, hand back the ones that the caps don't cover."""
    rows = (
        Analysis.objects.filter(pk__in=analysis_ids)
        .order_by("pk")
        .values_list(
            *("pk", "agent_version__agent__public_id", "config_id"),
            "conversation__prompt_tokens_est",
        )
    )
    configs = claims.load_configs({config for _, _, config, _ in rows if config})
    highest = {pk: HighestCost(config, trigger=Trigger.INITIAL) for pk, config in configs.items()}
    requests = {
        pk: (agent, highest[config].of(tokens) if config else None)
        for pk, agent, config, tokens in rows
    }
    return hold(ANALYSES, requests, balances)


_UNMARKED = f"""
SELECT d.id FROM analysis_analysis r
JOIN conversations_conversation d ON d.id = r.conversation_id
WHERE r.priority = 'live' AND r.state = 'pending' AND r.reserved IS NULL
  AND d.analysis_state = 'pending' AND d.analysis_reason = '' AND NOT {_ALLOWED}
ORDER BY r.id LIMIT 1000 FOR NO KEY UPDATE OF d SKIP LOCKED
"""  # noqa: S608 (constants)


def _mark_waiting(held: Mapping[str, list[Any]]) -> None:
    """Store the reason on conversations whose first analyses wait for a cap."""
    with connection.cursor() as cursor:
        cursor.execute(_UNMARKED, held)
        found = [pk for (pk,) in cursor.fetchall()]
    if found:
        Conversation.objects.filter(pk__in=found).update(analysis_reason=Reason.BUDGET)
