"""What analyses will cost, told before they run: the expected cost, and the highest.

Tokens of transcripts are estimated when they come in; here the constant part of the prompt, the
schema and the expected response are added, and the model's correction by real usage is applied.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from apps.agents.documents import ConfigDocument
from apps.agents.plans import Plan
from apps.llm.pricing import SPREAD, charged_prices, cost
from apps.llm.reservations import highest_cost
from apps.llm.services import correct_estimates
from apps.llm.specs import TokenUsage

from .claims import AnalysisJob, LoadedConfig
from .model_call import compiled, output_cap
from .models import AnalysisQuerySet, State
from .prompts import FRAME_TOKENS, constant_part

#: Analyses that are enough to correct an estimate by.
LEARN_FROM = 500


@dataclass(frozen=True, slots=True)
class Estimate:
    """Expected tokens and money. ``cost`` is None where a price is unknown."""

    conversations: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal | None = Decimal(0)

    def __add__(self, other: "Estimate") -> "Estimate":
        unknown = self.cost is None or other.cost is None
        return Estimate(
            self.conversations + other.conversations,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            None if unknown else (self.cost or Decimal(0)) + (other.cost or Decimal(0)),
        )

    @property
    def low(self) -> Decimal | None:
        return None if self.cost is None else self.cost * (1 - SPREAD)

    @property
    def high(self) -> Decimal | None:
        return None if self.cost is None else self.cost * (1 + SPREAD)


def estimate(plan: Plan, *, tokens: int, conversations: int) -> Estimate:
    """Return tokens and cost of conversations with ``tokens`` of transcript in all."""
    spec = plan.config.model.spec()
    fixed = constant_tokens(plan.config.sha256, plan.document) + FRAME_TOKENS
    usage = TokenUsage(
        input=round((tokens + fixed * conversations) * spec.token_correction),
        output=expected_answer_tokens(plan.document) * conversations,
    )
    money = cost(usage, charged_prices(spec, trigger="rerun"))
    return Estimate(conversations, usage.input, usage.output, money)


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


def learn_from(analyses: AnalysisQuerySet) -> None:
    """Correct the models' estimates by the tokens that their servers counted for these analyses.

    Only analyses that took one request and read the whole transcript count. A few hundred suffice.
    """
    rows = analyses.filter(
        state=State.SUCCEEDED,
        requests=1,
        truncated=False,
        input_tokens__gt=0,
        usage_estimated=False,
    )
    correct_estimates(
        samples=[
            (
                row.model,
                row.conversation.prompt_tokens_est
                + constant_tokens(row.config.sha256, row.config.parsed())
                + FRAME_TOKENS,
                row.input_tokens,
            )
            for row in rows.select_related("conversation", "config")[:LEARN_FROM]
            if row.config and row.input_tokens
        ]
    )


def constant_tokens(sha256: str, document: ConfigDocument) -> int:
    """Return the tokens that every request of a config repeats: instructions and schema."""
    return constant_part(document)[1] + compiled(sha256, document).tokens


def expected_answer_tokens(document: ConfigDocument) -> int:
    """Return the tokens of a typical response: a few for choices, a message or two for text."""
    values: list[Any] = list((document.answer_schema().get("properties") or {}).values())
    return 8 + sum(_expected_value_tokens(value) for value in values)


def _expected_value_tokens(value: object) -> int:
    schema = value if isinstance(value, dict) else {}
    given = schema.get("type", "string")
    kinds = set(given if isinstance(given, list) else [given]) - {"null"}
    if "enum" in schema or "const" in schema or kinds <= {"boolean", "integer", "number"}:
        return 8
    if "string" not in kinds and "array" in kinds:
        return 24
    if kinds == {"object"}:
        inner = (schema.get("properties") or {}).values()
        return 8 + sum(_expected_value_tokens(item) for item in inner)
    return 40
