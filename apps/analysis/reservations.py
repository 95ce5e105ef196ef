"""Set money aside for requests before they are sent, so that no limit is passed by much.

A claimed analysis holds what its request may cost at most (``reserved``) until its cost is in the
ledger, or until it is handed back. As long as something of a limit is neither spent nor set aside,
one more request may be sent: a limit is passed by one response at most, however many are in
flight. A reservation is part of the leased row: it ends with the row's work, and moves to the
next worker with the row.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Greatest

from apps.conversations.models import Conversation, Reason, Trigger
from apps.llm import caps
from apps.llm.caps import BudgetReached, CapState
from apps.llm.pricing import charged_prices, cost
from apps.llm.specs import TokenUsage

from . import claims
from .claims import ANALYSES, LoadedConfig
from .estimates import SPREAD, constant_tokens
from .model_call import output_cap
from .models import Analysis, AnalysisQuerySet, Reservation, State
from .prompts import FRAME_TOKENS


@dataclass(frozen=True, slots=True)
class Balance:
    """A limit in US dollars, with the amounts spent and set aside for requests."""

    limit: Decimal
    spent: Decimal = Decimal(0)
    reserved: Decimal = Decimal(0)

    @property
    def left(self) -> Decimal:
        """Return the rest, neither spent nor set aside; negative where the limit was passed."""
        return self.limit - self.spent - self.reserved

    @property
    def is_spent(self) -> bool:
        """Return whether the limit is reached without counting money that is only set aside."""
        return self.spent >= self.limit

    def covers(self, costs: Sequence[Decimal | None]) -> int:
        """Return how many of these requests may be sent, from the first one on.

        One may be sent as long as anything is left. None is sent whose price is unknown.
        """
        left = self.left
        for count, highest in enumerate(costs):
            if left <= 0 or highest is None:
                return count
            left -= highest
        return len(costs)


_OF_RUNS = """
SELECT r.id,
  (SELECT coalesce(sum(s.cost), 0) FROM llm_spending s WHERE s.run_id = r.id AND s.run_id <> ''),
  (SELECT coalesce(sum(a.reserved), 0) FROM analysis_analysis a
    WHERE a.backfill_public_id = r.id AND a.reserved IS NOT NULL)
  + (SELECT coalesce(sum(h.amount), 0) FROM analysis_reservation h WHERE h.run_id = r.id)
FROM unnest(%s::text[]) AS r(id)
"""


def balances_of_runs(limits: Mapping[str, Decimal]) -> dict[str, Balance]:
    """Return the balance of each run's budget, as of one moment, by the run's public ID."""
    if not limits:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_OF_RUNS, [list(limits)])
        return {run: Balance(limits[run], *sums) for run, *sums in cursor.fetchall()}


@dataclass(frozen=True, slots=True)
class CapBalance:
    """A cap with its balance."""

    cap: CapState
    balance: Balance


_RESERVED = """
SELECT agent, sum(amount) FROM (
  SELECT g.public_id AS agent, a.reserved AS amount FROM analysis_analysis a
  JOIN agents_agentversion v ON v.id = a.agent_version_id JOIN agents_agent g ON g.id = v.agent_id
  WHERE a.reserved IS NOT NULL
  UNION ALL SELECT h.agent_id, h.amount FROM analysis_reservation h
) AS held GROUP BY 1
"""


def cap_balances(now: datetime | None = None) -> list[CapBalance]:
    """Return the balance of each cap, under a lock that lasts until the transaction ends.

    Without caps, this is one query of an empty table.
    """
    if not caps.cap_states(now):
        return []
    caps.lock_caps()
    reserved = reserved_by_agent()
    return [
        CapBalance(cap, Balance(cap.limit, cap.spent, reserved_for(cap.agent_id, reserved)))
        for cap in caps.cap_states(now)
    ]


def reserved_by_agent() -> dict[str, Decimal]:
    """Return the money that is set aside for requests in progress, by the agent's public ID."""
    with connection.cursor() as cursor:
        cursor.execute(_RESERVED)
        return dict(cursor.fetchall())


def reserved_for(agent_id: str, reserved: Mapping[str, Decimal]) -> Decimal:
    """Return what is set aside for one agent, or for everything under an empty ID."""
    return reserved.get(agent_id, Decimal(0)) if agent_id else sum(reserved.values(), Decimal(0))


def allowed(
    balances: Sequence[CapBalance], requests: Sequence[tuple[str, Decimal | None]]
) -> list[bool]:
    """Return of each request whether all caps that apply to it have something left, in order.

    A request is an agent's public ID and the highest cost, None where the price is unknown: a cap
    can't be held without it. What costs nothing is always allowed.
    """
    left = [one.balance.left for one in balances]
    answers = []
    for agent, highest in requests:
        mine = [i for i, one in enumerate(balances) if one.cap.agent_id in {"", agent}]
        fits = not mine or highest == 0 or (highest is not None and min(left[i] for i in mine) > 0)
        answers.append(fits)
        for i in mine if fits else ():
            left[i] -= highest or Decimal(0)
    return answers


def why_blocked(balances: Sequence[CapBalance], agent: str) -> str:
    """Return why paid work for an agent has to wait; empty where it can start."""
    mine = [one for one in balances if one.cap.agent_id in {"", agent}]
    worst = min(mine, key=lambda one: one.balance.left, default=None)
    if worst is None or worst.balance.left > 0:
        return ""
    return worst.cap.sentence


# Free work, and work for which money is set aside already, is never held back.
_ALLOWED = """
(r.reserved IS NOT NULL
 OR NOT EXISTS (SELECT 1 FROM agents_analysisconfig k JOIN llm_languagemodel m ON m.id = k.model_id
   WHERE k.id = r.config_id AND NOT m.is_local AND NOT m.free_first_run)
 OR NOT (%(everything)s OR EXISTS (
   SELECT 1 FROM agents_agentversion v JOIN agents_agent g ON g.id = v.agent_id
   WHERE v.id = r.agent_version_id AND g.public_id = ANY(%(blocked)s))))
"""
_RESERVE = """
UPDATE analysis_analysis a SET reserved = v.cost
FROM unnest(%s::bigint[], %s::numeric[]) AS v(id, cost) WHERE a.id = v.id
"""


def take_first(*, limit: int, now: datetime | None = None) -> list[int]:
    """Lease first analyses as `claims.take` does, as far as the caps allow.

    The others stay pending, and their conversations say so.
    """
    with transaction.atomic():
        balances = cap_balances(now)
        if balances:
            blocked = [one.cap.agent_id for one in balances if one.balance.left <= 0]
            taken = ANALYSES.take(
                limit=limit,
                where=f"r.lane = 'live' AND {_ALLOWED}",
                everything="" in blocked,
                blocked=blocked,
            )
            keys = _set_aside(taken.keys, balances)
            if blocked:
                _mark_waiting(everything="" in blocked, agents=blocked)
    if not balances:
        return claims.take(lane="live", limit=limit)
    claims.fail_abandoned(taken.worn_out)
    return keys


def _set_aside(analysis_ids: Sequence[int], balances: Sequence[CapBalance]) -> list[int]:
    """Reserve the cost of claimed analyses, hand back the ones that the caps don't cover."""
    rows = Analysis.objects.filter(pk__in=analysis_ids).order_by("pk")
    fresh = list(
        rows.filter(reserved=None).values_list(
            "pk",
            "agent_version__agent__public_id",
            "config_id",
            "conversation__prompt_tokens_est",
        )
    )
    configs = claims.load_configs({config for *_, config, _ in fresh if config})
    highest = {pk: HighestCost(config, trigger=Trigger.INITIAL) for pk, config in configs.items()}
    costs = [highest[config].of(tokens) if config else None for *_, config, tokens in fresh]
    fits = allowed(balances, [(row[1], cost) for row, cost in zip(fresh, costs, strict=True)])
    kept = [(row[0], cost) for row, cost, ok in zip(fresh, costs, fits, strict=True) if ok]
    back = {row[0] for row, ok in zip(fresh, fits, strict=True) if not ok}
    with connection.cursor() as cursor:
        cursor.execute(_RESERVE, [[pk for pk, _ in kept], [cost for _, cost in kept]])
    rows.filter(pk__in=back).update(
        state=State.PENDING,
        lease_token=None,
        lease_until=None,
        attempts=Greatest(F("attempts") - 1, 0),
    )
    return [pk for pk in analysis_ids if pk not in back]


_UNMARKED = """
SELECT d.id FROM analysis_analysis r
JOIN conversations_conversation d ON d.id = r.conversation_id
JOIN agents_agentversion v ON v.id = r.agent_version_id JOIN agents_agent g ON g.id = v.agent_id
WHERE r.lane = 'live' AND r.state = 'pending' AND r.reserved IS NULL
  AND d.analysis_state = 'pending' AND d.analysis_reason = ''
  AND (%(everything)s OR g.public_id = ANY(%(agents)s))
ORDER BY r.id LIMIT 1000 FOR NO KEY UPDATE OF d SKIP LOCKED
"""


def _mark_waiting(*, everything: bool, agents: Sequence[str]) -> None:
    """Store the reason on conversations whose first analyses wait for a cap."""
    with connection.cursor() as cursor:
        cursor.execute(_UNMARKED, {"everything": everything, "agents": list(agents)})
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
    unpriced = f"The price of {config.spec.name} is unknown, which a spending cap needs."
    raise BudgetReached(why_blocked(balances, agent) or unpriced)


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
    costs = [highest[config, trigger].of(tokens) for _, config, trigger, tokens in found if config]
    with connection.cursor() as cursor:
        cursor.execute(_RESERVE, [[row[0] for row in found], costs])


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
    """Give back a share of what is left of a reservation, from 0 to 1."""
    Reservation.objects.filter(holder=holder).update(amount=F("amount") * (1 - share))


def set_free(holder: str) -> None:
    """Give back all that is left of a reservation."""
    Reservation.objects.filter(holder=holder).delete()


class HighestCost:
    """What a request of one config costs at most, by the tokens of its transcript."""

    def __init__(self, config: LoadedConfig, *, trigger: str, tier: str = "") -> None:
        spec = config.spec
        self._fixed = constant_tokens(config.sha256, config.document) + FRAME_TOKENS
        self._factor = spec.token_correction * float(1 + SPREAD)
        self._context = spec.context_tokens
        self._output = output_cap(config.document, spec)
        self._prices = charged_prices(spec, trigger=trigger, tier=tier)

    def of(self, transcript_tokens: int | None) -> Decimal | None:
        """Return the cost in US dollars; None where the price is unknown.

        An unknown transcript counts as a full context.
        """
        read = self._context
        if transcript_tokens is not None:
            read = min(read, math.ceil((transcript_tokens + self._fixed) * self._factor))
        return cost(TokenUsage(read, 0, self._output), self._prices)
