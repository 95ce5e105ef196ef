"""Mappings applied to results that were there before them."""

import json
from typing import Any

import pytest

from apps.accounts.models import AuditEntry
from apps.analysis.imports import Imported, record_imported
from apps.conversations.models import Conversation
from apps.llm.models import Usage
from apps.mappings.folds import fold_marked
from apps.runs import batches, mapping_runs
from apps.runs.models import Run, State
from tests.factories import (
    make_agent,
    make_contact,
    make_contact_field,
    make_conversations,
    make_mapping,
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
