"""One failed request, and how long to keep trying after it."""

from __future__ import annotations

import random
from dataclasses import dataclass

from django.conf import settings

from apps.llm.errors import ErrorCode, PauseReason
from apps.llm.specs import TokenUsage


@dataclass(frozen=True, slots=True)
class Fault:
    """One failed request. ``retry_after`` is in seconds, as the server asked for.

    ``refuses_mode``: the server does not know this way of asking for JSON. ``asks_again``: the
    model's response, ``failed_text``, was rejected by the provider itself, so that it is asked for
    once more in the same way. ``usage`` is what a failed request cost, where the server said so.
    ``no_capacity``: a 429 that says that the service tier is full at present; it isn't charged, and
    says nothing about the rate of other requests.
    """

    code: ErrorCode
    message: str
    transient: bool = False
    retry_after: float | None = None
    pause: PauseReason | None = None
    status: int | None = None
    parameter: str = ""
    refuses_mode: bool = False
    asks_again: bool = False
    failed_text: str = ""
    usage: TokenUsage | None = None
    no_capacity: bool = False


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long to continue after transient faults. Times are in seconds.

    ``limit_patience``: for how long a provider may reject everything by 429. ``flex_patience``:
    for how long it may have no capacity for the flex tier.
    """

    attempts: int = 6
    total: float = 180.0
    first_delay: float = 0.5
    longest_delay: float = 20.0
    limit_patience: float = settings.LIMIT_PATIENCE_SECONDS
    flex_patience: float = settings.FLEX_PATIENCE_SECONDS

    def delay(self, attempt: int, fault: Fault) -> float:
        """The pause before try number ``attempt + 1``: as asked, else doubling with jitter."""
        grown = min(self.longest_delay, self.first_delay * 2 ** (attempt - 1))
        jittered: float = grown * (0.5 + random.random() / 2)
        if fault.retry_after is None:
            return jittered
        return fault.retry_after + random.random() * min(1.0, fault.retry_after / 4)
