"""What a conversation costs, and each field's part in it."""

import json
from decimal import Decimal

import pytest

from apps.agents.content import content_of
from apps.agents.costs import FRAME_TOKENS, costs, typical_transcript
from apps.analysis.prompts import Facts, build, constant_part
from apps.llm.schema import compile_strict
from apps.llm.tokens import estimate_tokens
from tests.factories import make_indexed_conversation
from tests.factories.drafts import TOPIC, agent, draft, language_model, with_fields

pytestmark = pytest.mark.django_db


def test_the_parts_are_the_whole_and_near_what_is_sent() -> None:
    made = agent(**with_fields(topic=dict(TOPIC), wish={"type": "string", "description": "A."}))
    content, model = content_of(draft(made)), language_model()
    found = costs(content, model, 500)
    assert [f.name for f in found.fields] == [
        "call_summary", "call_successful", "user_sentiment", "topic", "wish",
    ]  # fmt: skip
    assert found.total.cost
    assert found.rest.cost
    transcript = Decimal(500) * Decimal("0.40") / 1_000_000
    parts = sum((f.share.cost or Decimal(0) for f in found.fields), found.rest.cost + transcript)
    assert found.total.cost == parts
    assert found.total.per_thousand == found.total.cost * 1000
    # Held against what a runner really sends: its constant text and its schema.
    document = content.document()
    _, text = constant_part(document)
    schema = estimate_tokens(json.dumps(compile_strict(document.answer_schema()).schema))
    assert found.total.input_tokens - 500 == pytest.approx(text + schema + 40, rel=0.2)


def test_the_frame_is_what_a_request_says_besides() -> None:
    content = content_of(draft(agent()))
    prompt = build(
        content.document(), Facts("voice"), [], word="0", context_tokens=8000, output_tokens=100
    )
    fields = sum(estimate_tokens(f"- {b.name}: {b.prompt}") for b in content.document().built_ins)
    assert pytest.approx(prompt.input_tokens - fields, rel=0.25) == FRAME_TOKENS


def test_a_price_that_nobody_knows_is_not_zero() -> None:
    unpriced = language_model("unpriced", input_price=None, output_price=None)
    found = costs(content_of(draft(agent())), unpriced, None)
    assert (found.total.cost, found.total.per_thousand) == (None, None)
    assert sum(f.percent for f in found.fields) > 50  # by tokens


def test_a_typical_transcript_is_the_mean_of_the_latest() -> None:
    made = agent()
    assert typical_transcript(made) is None
    for tokens in (100, 200, 0):
        make_indexed_conversation(draft(made), prompt_tokens_est=tokens)
    assert typical_transcript(made) == 150
