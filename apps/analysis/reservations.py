"""Set money aside for requests in flight, and for those of batches, which have no analysis yet."""

from collections.abc import Mapping
from decimal import Decimal

from django.db.models import F

from apps.llm.reservations import reserve

from .claims import ANALYSES, load_configs
from .estimates import HighestCost
from .models import AnalysisQuerySet, Reservation, State


def reserve_in_flight(analyses: AnalysisQuerySet) -> None:
    """Set money aside for requests in progress that were claimed without a budget or a cap."""
    rows = analyses.filter(state=State.RUNNING, reserved=None, config__isnull=False)
    columns = ("pk", "config_id", "trigger", "conversation__prompt_tokens_est")
    found = list(
        rows.order_by("pk").select_for_update(of=("self",), no_key=True).values_list(*columns)
    )
    configs = load_configs({config for _, config, *_ in found if config})
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
