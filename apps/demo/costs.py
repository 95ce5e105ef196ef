"""What the demo's past analyses would have cost with a hosted model, so that Costs shows something.

The results are written by hand and no model was asked; tokens are estimated and prices are those
of the catalog. They are marked as the demo's in the ledger.
"""

import json

from apps.analysis.models import Analysis
from apps.conversations.models import Conversation, Trigger
from apps.llm import ledger
from apps.llm.models import LanguageModel, Purpose
from apps.llm.pricing import charged_prices, cost
from apps.llm.services import ensure_catalogue, usage_row
from apps.llm.specs import TokenUsage
from apps.llm.tokens import estimate_tokens

MODEL = "gpt-4.1-mini"
#: Instructions and fields of a demo agent, about.
PROMPT_TOKENS = 1_300


def price_past_analyses(source: str, *, by: str) -> None:
    """Give the imported results of a source a model, tokens, prices, and lines in the ledger."""
    ensure_catalogue()
    spec = LanguageModel.objects.get(name=MODEL).spec()
    prices = charged_prices(spec, trigger=Trigger.IMPORTED)
    known = {"input": prices.input, "cached": prices.cached, "output": prices.output}
    stored = {name: str(price) for name, price in known.items() if price is not None}
    results = list(
        Analysis.objects.current()
        .filter(conversation__source=source, trigger=Trigger.IMPORTED, model="")
        .select_related("conversation__agent")
    )
    rows = []
    for result in results:
        usage = usage_of(result)
        conversation = result.conversation
        result.model, result.requests = spec.name, 1
        result.input_tokens, result.output_tokens = usage.input, usage.output
        result.cached_tokens = usage.cached
        result.prices = stored
        result.cost = cost(usage, prices)
        conversation.analysis_model, conversation.analysis_cost = spec.name, result.cost
        rows.append(
            usage_row(
                spec=spec,
                purpose=Purpose.ANALYSIS,
                usage=usage,
                trigger=result.trigger,
                who=by,
                agent_id=conversation.agent.public_id,
                conversation_id=conversation.public_id,
                analysis_id=result.public_id,
                at=result.finished_at,
            )
        )
    Analysis.objects.bulk_update(
        results,
        ["model", "requests", "input_tokens", "cached_tokens", "output_tokens", "prices", "cost"],
    )
    Conversation.objects.bulk_update(
        [result.conversation for result in results], ["analysis_model", "analysis_cost"]
    )
    ledger.write(rows)


def usage_of(result: Analysis) -> TokenUsage:
    """Return about the tokens that a result takes, loaded with its conversation."""
    answer = json.dumps(result.output, ensure_ascii=False)
    return TokenUsage(
        input=PROMPT_TOKENS + result.conversation.prompt_tokens_est,
        output=estimate_tokens(answer),
    )
