"""Keep test runs within the spending caps: their items are claimed as far as the caps allow.

Test runs set nothing aside on their items. Their requests in progress are counted at each claim.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal

from django.db.models import F
from django.db.models.functions import Greatest
from django.utils import timezone

from apps.analysis.claims import load_configs
from apps.analysis.reservations import CapBalance, HighestCost, allowed
from apps.llm.caps import cap_states

from .models import ItemState, Run, RunItem

Request = tuple[int, str, Decimal]
"""An item, its agent's public ID, and the highest cost of its request."""


def keep_within(item_ids: Sequence[int], balances: Sequence[CapBalance]) -> list[int]:
    """Return which claimed items the caps cover, and hand back the others.

    Call it in the transaction that claimed them, under the lock of the caps.
    """
    requests = _requests_in_progress()
    mine = [one for one in requests if one[0] in set(item_ids)]
    others = [one for one in requests if one[0] not in set(item_ids)]
    left = [_with(one, others) for one in balances]
    fits = allowed(left, [(agent, cost) for _, agent, cost in mine])
    kept = [one[0] for one, fit in zip(mine, fits, strict=True) if fit]
    back = set(item_ids) - set(kept)
    RunItem.objects.filter(pk__in=back, state=ItemState.RUNNING).update(
        state=ItemState.PENDING,
        lease_token=None,
        lease_until=None,
        attempts=Greatest(F("attempts") - 1, 0),
    )
    return kept


def _requests_in_progress() -> list[Request]:
    trials, now = Run.objects.trials().active(), timezone.now()
    rows = RunItem.objects.filter(run__in=trials, state=ItemState.RUNNING, lease_until__gt=now)
    columns = ("agent_version__agent__public_id", "config_id", "conversation__prompt_tokens_est")
    found = list(rows.order_by("pk").values_list("pk", *columns))
    configs = load_configs({config for _, _, config, _ in found})
    highest = {pk: HighestCost(config, trigger="") for pk, config in configs.items()}
    # A price that was removed since the start holds nothing up: the start asks for it.
    return [
        (pk, agent, highest[config].of(tokens) or Decimal(0)) for pk, agent, config, tokens in found
    ]


def _with(one: CapBalance, requests: Iterable[Request]) -> CapBalance:
    """Return a balance with the cost of requests set aside."""
    more = sum((cost for _, agent, cost in requests if one.cap.agent_id in {"", agent}), Decimal(0))
    reserved = one.balance.reserved + more
    return replace(one, balance=replace(one.balance, reserved=reserved))


def why_waiting(agents: Iterable[str]) -> str:
    """Return why a cap holds test runs of these agents back; empty where none does."""
    capped = {"", *agents}
    return next((c.sentence for c in cap_states() if c.is_reached and c.agent_id in capped), "")
