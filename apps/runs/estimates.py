"""The estimate of a run that asks no model."""

from typing import Any

#: Conversations done per second, as the benchmark measures it at the least.
PER_SECOND = 5_000


def free_estimate(conversations: int) -> dict[str, Any]:
    """Return an estimate without tokens and cost."""
    nothing = dict.fromkeys(("cost", "cost_low", "cost_high"), "0")
    seconds = round(conversations / PER_SECOND, 1)
    return {"input_tokens": 0, "output_tokens": 0, **nothing, "seconds": seconds}
