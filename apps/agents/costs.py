"""What a prompt or a field adds to every conversation, in tokens and money (product 1.4).

Only the part that is the same for each conversation, estimated like the price of a run: the
prompt's line, its place in the schema, and a typical answer. The transcript comes on top.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from apps.llm.models import LanguageModel
from apps.llm.pricing import charged_prices, cost
from apps.llm.specs import TokenUsage
from apps.llm.tokens import estimate_tokens

from .builtins import categories
from .contents import Content

_SHORT_ANSWER, _LONG_ANSWER = 8, 40


@dataclass(frozen=True, slots=True)
class Share:
    """What something adds to one conversation. ``cost`` is None where the price is unknown."""

    input_tokens: int
    output_tokens: int
    cost: Decimal | None

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens


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
    """What one field adds: its line in the prompt, its schema, and a typical answer."""
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


def _sum(one: Share, two: Share) -> Share:
    known = one.cost is not None and two.cost is not None
    return Share(
        one.input_tokens + two.input_tokens,
        one.output_tokens + two.output_tokens,
        (one.cost or Decimal(0)) + (two.cost or Decimal(0)) if known else None,
    )
