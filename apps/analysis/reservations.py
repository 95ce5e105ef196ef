"""Set money aside for analyses: first ones as they are claimed, reruns as they are stored."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from django.db.models import F

from apps.conversations.models import Conversation, Reason, Trigger
from apps.llm.caps import BudgetReached
from apps.llm.models import LanguageModel
from apps.llm.reservations import (
    CapBalance,
    allowed,
    cap_balances,
    highest_cost,
    hold,
    reserve,
    why_blocked,
)

from . import claims
from .claims import ANALYSES, LoadedConfig
from .estimates import constant_tokens
from .jobs import AnalysisJob
from .model_call import output_cap
from .models import Analysis, AnalysisQuerySet, Reservation, State
from .prompts import FRAME_TOKENS

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


def take_first(*, limit: int, now: datetime | None = None) -> list[int]:
    """Lease first analyses as `claims.take` does, as far as the caps allow.

    The others stay pending, and their conversations say so.
    """
    with transaction.atomic():
        balances = cap_balances(now)
        if balances:
            held: dict[str, list[Any]] = {
                "blocked": [one.cap.agent_id for one in balances if one.balance.left <= 0],
                "capped": [one.cap.agent_id for one in balances],
                "unpriced": [m.pk for m in LanguageModel.objects.all() if not m.price_known],
            }
            claimed = ANALYSES.claim(limit=limit, where=f"r.lane = 'live' AND {_ALLOWED}", **held)
            keys = _set_aside(claimed.keys, balances)
            if held["blocked"] or held["unpriced"]:
                _mark_waiting(held)
    if not balances:
        return claims.take(lane="live", limit=limit)
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
WHERE r.lane = 'live' AND r.state = 'pending' AND r.reserved IS NULL
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


def reserve_rerun(analysis: Analysis, *, now: datetime | None = None) -> None:
    """Set money aside for a rerun that is about to be stored. Raises BudgetReached.

    Call it in the transaction that stores it.
    """
    balances = cap_balances(now)
    if not balances or analysis.config is None:
        return
    agent = analysis.agent_version.agent.public_id
    config = claims.load_configs({analysis.config.pk})[analysis.config.pk]
    highest = HighestCost(config, trigger=Trigger.RERUN)
    analysis.reserved = highest.of(analysis.conversation.prompt_tokens_est)
    if allowed(balances, [(agent, analysis.reserved)]) == [True]:
        return
    unknown = f"The price of {config.spec.name} is unknown, which a spending cap needs."
    raise BudgetReached(why_blocked(balances, agent) or f"{unknown} Set it under Models.")


def reserve_in_flight(analyses: AnalysisQuerySet) -> None:
    """Set money aside for requests in progress that were claimed without a budget or a cap."""
    rows = analyses.filter(state=State.RUNNING, reserved=None, config__isnull=False)
    columns = ("pk", "config_id", "trigger", "conversation__prompt_tokens_est")
    found = list(
        rows.order_by("pk").select_for_update(of=("self",), no_key=True).values_list(*columns)
    )
    configs = claims.load_configs({config for _, config, *_ in found if config})
    kinds = {(config, trigger) for _, config, trigger, _ in found if config}
    highest = {kind: HighestCost(configs[kind[0]], trigger=kind[1]) for kind in kinds}
    costs = {
        pk: highest[config, trigger].of(tokens) for pk, config, trigger, tokens in found if config
    }
    reserve(ANALYSES, costs)


def set_aside(holder: str, run: str, amounts: Mapping[str, Decimal]) -> None:
    """Reserve money for requests without an analysis, by the public ID of the agent.

    Call it in the transaction that checked the balance. `lower` and `set_free` give it back.
    """
    Reservation.objects.bulk_create(
        Reservation(holder=holder, run_id=run, agent_id=agent, amount=amount)
        for agent, amount in amounts.items()
        if amount
    )


def lower(holder: str, share: Decimal) -> None:
    """Give back a share of the rest of a reservation, from 0 to 1."""
    Reservation.objects.filter(holder=holder).update(amount=F("amount") * (1 - share))


def set_free(holder: str) -> None:
    """Give back the rest of a reservation."""
    Reservation.objects.filter(holder=holder).delete()


class HighestCost:
    """What a request of one config costs at most, by the tokens of its transcript."""

    def __init__(self, config: LoadedConfig, *, trigger: str, tier: str = "") -> None:
        self._spec = config.spec
        self._fixed = constant_tokens(config.sha256, config.document) + FRAME_TOKENS
        self._output = output_cap(config.document, config.spec)
        self._trigger, self._tier = trigger, tier

    def of(self, transcript_tokens: int | None) -> Decimal | None:
        """Return the cost in US dollars; None where the price is unknown.

        An unknown transcript counts as a full context.
        """
        tokens = None if transcript_tokens is None else transcript_tokens + self._fixed
        return highest_cost(
            self._spec, tokens, self._output, trigger=self._trigger, tier=self._tier
        )


def highest_cost_of(job: AnalysisJob) -> Decimal | None:
    """Return what the request of a job costs at most; None where the price is unknown."""
    config = LoadedConfig(job.config_sha256, job.config, job.spec)
    return HighestCost(config, trigger=job.trigger).of(job.transcript_tokens)
