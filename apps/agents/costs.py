"""What a conversation costs, and how much of it a prompt or a field adds.

Estimated like the price of a run: a field's line in the prompt, its place in the schema, and a
typical response. At list prices, without what a provider's cache saves.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import F

from apps.llm.models import LanguageModel
from apps.llm.pricing import charged_prices, cost
from apps.llm.specs import TokenUsage
from apps.llm.tokens import estimate_tokens
from apps.llm.typical_cost import ASSUMED_TRANSCRIPT

from .content import Content, content_of
from .documents import categories
from .models import Agent, AgentVersion

_SHORT_ANSWER, _LONG_ANSWER = 8, 40

FRAME_TOKENS = 220
"""Of what every request says besides: the task, its rules, the facts of the conversation."""
SEEN = 200
"""Number of the latest conversations from which an agent's transcript length is estimated."""


@dataclass(frozen=True, slots=True)
class Share:
    """What something adds to one conversation. ``cost`` is None where the price is unknown."""

    input_tokens: int
    output_tokens: int
    cost: Decimal | None

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens

    @property
    def per_thousand(self) -> Decimal | None:
        """Dollars for a thousand conversations."""
        return None if self.cost is None else self.cost * 1000


@dataclass(frozen=True, slots=True)
class FieldCost:
    """One field's part of what a conversation costs besides its transcript."""

    name: str
    share: Share
    percent: int


@dataclass(frozen=True, slots=True)
class Costs:
    """What a conversation costs. ``transcript_tokens`` is None where there is none to go by, and
    ``total`` then goes without it."""

    total: Share
    transcript_tokens: int | None
    rest: Share
    fields: tuple[FieldCost, ...]


def costs(content: Content, model: LanguageModel, transcript_tokens: int | None) -> Costs:
    """What one conversation of this draft costs, and each field's part in it, in their order."""
    draft = content.as_draft()["analysis"]
    found: dict[str, Share] = {}
    for item in categories(content.channel):
        setting = draft["built_ins"][item.name]
        if setting["enabled"]:
            value = {**item.value, "description": setting["prompt"]}
            found[item.name] = field_share(item.name, value, model)
    for name, value in content.document().own_fields().items():
        found[name] = field_share(name, value, model)
    rest = _share(model, FRAME_TOKENS + estimate_tokens(draft["instructions"]), 0)
    total = _sum(rest, _share(model, transcript_tokens or 0, 0))
    for share in found.values():
        total = _sum(total, share)
    whole = max(sum(_weight(share) for share in (*found.values(), rest)), 1)
    fields = (FieldCost(n, s, round(100 * _weight(s) / whole)) for n, s in found.items())
    return Costs(total, transcript_tokens, rest, tuple(fields))


def cost_with(found: Costs, counted_for: LanguageModel, model: LanguageModel) -> Decimal | None:
    """Return what such a conversation costs with another model; None where a price is unknown.

    Where the agent has no conversation to go by, a transcript of usual length is assumed.
    """
    read = found.total.input_tokens / counted_for.token_correction
    read += 0 if found.transcript_tokens else ASSUMED_TRANSCRIPT
    return _share(model, round(read), found.total.output_tokens).cost


def typical_transcript(agent: Agent) -> int | None:
    """Mean tokens of the agent's latest transcripts; None before its first conversation.

    The relation belongs to the app above; here only its name is used.
    """
    latest = agent.conversations.order_by(F("sort_at").desc(), F("pk").desc())
    found = latest.filter(prompt_tokens_est__gt=0).values_list("prompt_tokens_est", flat=True)
    tokens = list(found[:SEEN])
    return round(sum(tokens) / len(tokens)) if tokens else None


@dataclass(frozen=True, slots=True)
class Waiting:
    """Conversations that are analyzed as soon as someone sets their agent up. ``cost``: of all,
    by the draft as it is; None where the price is unknown."""

    count: int
    cost: Decimal | None
    is_free: bool
    model: LanguageModel


def waiting_for(draft: AgentVersion) -> Waiting | None:
    """Return the conversations waiting for setup and the estimated cost; None without any."""
    agent, model = draft.agent, draft.config.model
    waiting = agent.conversations.filter(analysis_state="skipped", analysis_reason="unconfigured")
    if not agent.unconfigured or not (count := waiting.count()):
        return None
    each = costs(content_of(draft), model, typical_transcript(agent)).total.cost
    is_free = model.is_local or model.free_first_run
    return Waiting(count, None if each is None else each * count, is_free, model)


def shares(content: Content, model: LanguageModel) -> dict[str, Share]:
    """The share of each built-in (by its name, on or off), of ``instructions``, and ``total``."""
    draft = content.as_draft()["analysis"]
    found = {"instructions": _share(model, estimate_tokens(draft["instructions"]), 0)}
    total = found["instructions"]
    for item in categories(content.channel):
        setting = draft["built_ins"][item.name]
        value = {**item.value, "description": setting["prompt"]}
        found[item.name] = field_share(item.name, value, model)
        if setting["enabled"]:
            total = _sum(total, found[item.name])
    for name, value in content.document().own_fields().items():
        total = _sum(total, field_share(name, value, model))
    return {**found, "total": total}


def field_share(name: str, value: object, model: LanguageModel) -> Share:
    """Return what one field adds: its line in the prompt, its schema, and a typical response."""
    schema: Mapping[str, Any] = value if isinstance(value, dict) else {}
    line = f"- {name}: {schema.get('description', '')}"
    written = json.dumps({name: value}, ensure_ascii=False)
    short = "enum" in schema or schema.get("type") in ("boolean", "number", "integer")
    answer = estimate_tokens(name) + (_SHORT_ANSWER if short else _LONG_ANSWER)
    return _share(model, estimate_tokens(line) + estimate_tokens(written), answer)


def _share(model: LanguageModel, input_tokens: int, output_tokens: int) -> Share:
    spec = model.spec()
    read = round(input_tokens * spec.token_correction)
    price = cost(TokenUsage(read, 0, output_tokens), charged_prices(spec, trigger="rerun"))
    return Share(read, output_tokens, price)


def _weight(share: Share) -> float:
    """Money where the price is known and not zero, else tokens: for parts of a whole."""
    return float(share.cost) * 1e9 if share.cost else share.tokens


def _sum(one: Share, two: Share) -> Share:
    known = one.cost is not None and two.cost is not None
    return Share(
        one.input_tokens + two.input_tokens,
        one.output_tokens + two.output_tokens,
        (one.cost or Decimal(0)) + (two.cost or Decimal(0)) if known else None,
    )
