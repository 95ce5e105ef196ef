"""Mappings applied to results that were there before them."""

import json
from decimal import Decimal
from typing import Any

import pytest

from apps.accounts.models import AuditEntry
from apps.agents.models import Agent
from apps.analysis.imports import Imported, record_imported
from apps.conversations.models import Conversation
from apps.llm.models import Usage
from apps.llm.tokens import estimate_tokens
from apps.mappings.marked_contacts import fold_marked
from apps.mappings.models import Summary
from apps.mappings.summaries import PROMPT_TOKENS
from apps.runs import batches
from apps.runs.mappings import work as mapping_runs
from apps.runs.models import Run, State
from tests.factories import (
    make_agent,
    make_contact,
    make_contact_field,
    make_conversations,
    make_mapping,
    make_model,
)
from tests.runs.completed import BY

from .conftest import Caller

pytestmark = [pytest.mark.django_db(transaction=True)]


def analyzed(count: int = 3) -> None:
    """Conversations of one contact with a result each, and one more without a result."""
    make_conversations(make_agent(), count + 1)
    Conversation.objects.update(contact=make_contact())
    found = list(Conversation.objects.order_by("sort_at", "pk"))
    record_imported(
        [Imported(one, {"plan": f"plan {n}"}) for n, one in enumerate(found[:count])], by=BY
    )
    make_contact_field("plan")
    make_mapping("plan", "plan")


def read(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.content
    found: dict[str, Any] = json.loads(answer.content)
    return found


def test_a_new_mapping_is_applied_to_past_results(editor: Caller) -> None:
    analyzed()
    body = {"channel": "voice", "filters": {}}

    preview = read(editor.post("/mappings/apply", {**body, "preview": True}), 200)
    assert (preview["conversations"], preview["contacts"]) == (3, 1)
    runs = [
        read(editor.post("/mappings/apply", {**body, "token": preview["token"]}), 202)
        for _ in range(2)
    ]
    assert runs[0]["id"] == runs[1]["id"]
    assert (runs[0]["kind"], runs[0]["counts"]["total"]) == ("mapping", 3)
    batches.run_batches(seconds=600)
    fold_marked()

    run = Run.objects.get()
    assert run.state == State.COMPLETED
    assert set(run.items.values_list("state", flat=True)) == {"done"}
    contact = Conversation.objects.earliest("pk").contact
    assert contact is not None
    assert contact.fields["plan"].startswith("plan ")
    assert not Usage.objects.exists()
    verbs = set(AuditEntry.objects.values_list("verb", flat=True))
    assert {"mapping.started", "mapping.completed"} <= verbs


def test_a_mapping_run_starts_only_as_shown(editor: Caller) -> None:
    analyzed()
    token = mapping_runs.preview_mappings("voice", {}).token
    last = Conversation.objects.exclude(analysis_state="succeeded").get()
    record_imported([Imported(last, {"plan": "pro"})], by=BY)

    more = editor.post("/mappings/apply", {"channel": "voice", "token": token})
    assert read(more, 409)["error"]["code"] == "preview_outdated"
    none = editor.post("/mappings/apply", {"channel": "chat"})
    assert read(none, 422)["error"]["code"] == "nothing_to_apply"
    odd = editor.post("/mappings/apply", {"channel": "voice", "filters": {"nonsense": 1}})
    assert odd.status_code == 400
    assert not Run.objects.exists()


def accumulating(**prices: Any) -> None:
    """Three conversations of one contact, two of them with different texts, and a mapping."""
    model = make_model(**prices)
    agent = make_agent(model=model)
    make_conversations(agent, 3)
    config = agent.versions.drafts().get().config
    Conversation.objects.update(contact=make_contact(), analysis_config=config)
    found = list(Conversation.objects.order_by("pk"))
    notes = ["Moved to Oslo in May.", "Has a dog now.", "Has a dog now."]
    record_imported(
        [Imported(one, {"note": text}) for one, text in zip(found, notes, strict=True)], by=BY
    )
    Conversation.objects.update(analysis_config=config)
    make_contact_field("note")
    make_mapping("note", "note", mode="accumulate")


def summaries_of(editor: Caller) -> Any:
    body = {"channel": "voice", "preview": True}
    return read(editor.post("/mappings/apply", body), 200)["summaries"]


def test_without_accumulation_no_request_is_expected(editor: Caller) -> None:
    analyzed()
    assert summaries_of(editor) is None


def test_combining_texts_is_estimated_before_a_run(editor: Caller) -> None:
    accumulating(input_price=Decimal(1), output_price=Decimal(2))
    found = summaries_of(editor)
    assert found["requests"] == 1
    texts = estimate_tokens("Moved to Oslo in May. Has a dog now.")
    assert abs(found["input_tokens"] - PROMPT_TOKENS - texts) < 5
    assert 0 < found["output_tokens"] <= texts + 5
    spent = found["input_tokens"] + 2 * found["output_tokens"]
    assert Decimal(found["cost"]) == Decimal(spent) / 1_000_000

    # Applied before, the texts are there: the second run combines the same ones.
    run = read(editor.post("/mappings/apply", {"channel": "voice"}), 202)
    assert run["counts"]["total"] == 3
    batches.run_batches()
    fold_marked()
    assert summaries_of(editor) == found
    assert Summary.objects.count() == found["requests"]


def test_an_agent_that_does_not_accumulate_asks_no_model(editor: Caller) -> None:
    accumulating()
    make_mapping("note", "note", agent=Agent.objects.get())
    assert summaries_of(editor)["requests"] == 0


def test_an_unknown_price_is_no_cost_of_zero(editor: Caller) -> None:
    accumulating(input_price=None, output_price=None)
    assert summaries_of(editor)["cost"] is None
