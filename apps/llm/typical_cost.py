"""The cost of a typical conversation with a model, which says more than prices per token."""

from dataclasses import dataclass
from decimal import Decimal

from django.db.models import Avg, Count

from apps.llm.models import LanguageModel, Usage
from apps.llm.pricing import charged_prices, cost
from apps.llm.specs import TokenUsage

NEWEST = 1_000
"""Number of the latest analyses that define a typical conversation."""
ENOUGH = 20
"""Fewer analyses aren't enough."""
ASSUMED_TRANSCRIPT = 1_000
"""Tokens of about six minutes of talk."""
ASSUMED_INPUT = 1_600
ASSUMED_OUTPUT = 150
"""What the instructions and a dozen fields add to that transcript, and a response to them."""


@dataclass(frozen=True, slots=True)
class Typical:
    """Tokens of one analysis. ``analyses`` is how many they are the mean of, 0 if assumed."""

    input_tokens: int = ASSUMED_INPUT
    output_tokens: int = ASSUMED_OUTPUT
    analyses: int = 0

    def __str__(self) -> str:
        tokens = f"{self.input_tokens:,} tokens in and {self.output_tokens:,} out"
        if not self.analyses:
            return f"{tokens}, an assumption until conversations have been analyzed"
        return f"{tokens}, the mean of the last {self.analyses:,} analyses"

    def cost(self, model: LanguageModel) -> Decimal | None:
        """Return its cost with this model, without savings of a cache; None if unknown."""
        usage = TokenUsage(self.input_tokens, 0, self.output_tokens)
        return cost(usage, charged_prices(model.spec(), trigger="rerun"))


def typical_conversation() -> Typical:
    """Return the mean of the latest analyses in the ledger, else the assumption."""
    newest = Usage.objects.analyses().filter(input_tokens__gt=0).order_by("-id")[:NEWEST]
    found = Usage.objects.filter(pk__in=newest.values("pk")).aggregate(
        read=Avg("input_tokens"), written=Avg("output_tokens"), count=Count("pk")
    )
    if found["count"] < ENOUGH:
        return Typical()
    return Typical(round(found["read"]), round(found["written"]), found["count"])
