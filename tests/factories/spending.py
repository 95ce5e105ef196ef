"""Requests that were paid, for tests."""

from datetime import datetime
from decimal import Decimal

from django.utils import timezone

from apps.llm import ledger
from apps.llm.models import Purpose, Usage


def spend(cost: str, *, agent: str = "", at: datetime | None = None) -> None:
    """Write a request of this cost to the ledger, now or at a time; ``agent`` is a public ID."""
    row = Usage(
        purpose=Purpose.ANALYSIS,
        model_name="m",
        agent_id=agent,
        cost=Decimal(cost),
        at=at or timezone.now(),
    )
    ledger.write([row])
