"""Models that most installations start with, and their public list prices.

The prices are what the provider's public price list said when this was written, in US dollars
per million tokens for ordinary (not batch, not priority) processing. **Check your provider's
price list**: prices change, contracts differ, and what an administrator enters is never
overwritten.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

# Same question, same answer, as far as the provider can.
_STEADY: Mapping[str, object] = {"temperature": 0}
# Filling in fields needs little thought, and reasoning tokens are charged as output.
_BRIEF: Mapping[str, object] = {"reasoning_effort": "minimal"}

_HALF = "0.5"


@dataclass(frozen=True, slots=True)
class KnownModel:
    """One line of the catalog; prices per million tokens, ``flex`` and ``batch`` as shares."""

    name: str
    input: str
    cached: str
    output: str
    context: int = 128_000
    max_output: int = 4_096
    parameters: Mapping[str, object] = field(default_factory=dict)
    flex: str | None = None
    batch: str = _HALF

    def fields(self) -> dict[str, object]:
        """Return the columns of its row."""
        return {
            "input_price": Decimal(self.input),
            "cached_price": Decimal(self.cached),
            "output_price": Decimal(self.output),
            "flex_factor": self.flex and Decimal(self.flex),
            "batch_factor": Decimal(self.batch),
            "context_tokens": self.context,
            "max_output_tokens": self.max_output,
            "parameters": dict(self.parameters),
        }


KNOWN_MODELS = (
    KnownModel("gpt-4.1", "2.00", "0.50", "8.00", 1_047_576, parameters=_STEADY),
    KnownModel("gpt-4.1-mini", "0.40", "0.10", "1.60", 1_047_576, parameters=_STEADY),
    KnownModel("gpt-4.1-nano", "0.10", "0.025", "0.40", 1_047_576, parameters=_STEADY),
    KnownModel("gpt-4o", "2.50", "1.25", "10.00", parameters=_STEADY),
    KnownModel("gpt-4o-mini", "0.15", "0.075", "0.60", parameters=_STEADY),
    KnownModel("gpt-5", "1.25", "0.125", "10.00", 400_000, 16_384, _BRIEF, _HALF),
    KnownModel("gpt-5-mini", "0.25", "0.025", "2.00", 400_000, 16_384, _BRIEF, _HALF),
    KnownModel("gpt-5-nano", "0.05", "0.005", "0.40", 400_000, 16_384, _BRIEF, _HALF),
)
