"""The dialog that applies mappings to past analyses."""

import re
from decimal import Decimal

import pytest

from apps.accounts.models import Role
from apps.analysis.imports import Imported, record_imported
from apps.conversations.models import Conversation
from apps.runs import batches
from apps.runs.mappings.services import start_mapping_run
from apps.runs.models import Run
from tests.factories import (
    make_agent,
    make_contact,
    make_contact_field,
    make_conversations,
    make_mapping,
    make_model,
)
from tests.runs.completed import BY
from tests.runs.test_views import HTMX, as_role, text

pytestmark = [pytest.mark.django_db(transaction=True)]

URL = "/backfills/mappings/"


def test_the_dialog_shows_counts_and_starts_one_run() -> None:
    make_conversations(make_agent(), 2)
    Conversation.objects.update(contact=make_contact())
    record_imported([Imported(one, {"plan": "pro"}) for one in Conversation.objects.all()], by=BY)
    editor = as_role(Role.EDITOR)

    dialog = editor.get(URL, headers=HTMX)
    assert "2 calls with a result, of 1 contact" in text(dialog)
    assert "0 chats with a result" in text(editor.get(URL, {"channel": "chat"}, headers=HTMX))
    token = re.search(r'name="token" value="([^"]+)"', dialog.content.decode())
    assert token
    for data, words in (({"token": ""}, "Review the numbers"), ({"token": "x"}, "expired")):
        assert words in text(editor.post(URL, {"channel": "voice", **data}, headers=HTMX))
    for _ in range(2):
        editor.post(URL, {"channel": "voice", "token": token[1]}, headers=HTMX)
    batches.run_batches(seconds=600)

    run = Run.objects.get()
    page = text(editor.get(f"/backfills/{run.public_id}/"))
    assert "Mapping run of 2 calls" in page
    assert "Completed" in page
    assert "What changed" not in page
    assert as_role(Role.OPERATOR).get(URL).status_code == 403


def test_the_dialog_says_what_combining_texts_costs() -> None:
    model = make_model(input_price=None, output_price=None)
    agent = make_agent(model=model)
    make_conversations(agent, 2)
    contact, config = make_contact(), agent.versions.drafts().get().config
    Conversation.objects.update(contact=contact, analysis_config=config)
    found = list(Conversation.objects.order_by("pk"))
    record_imported([Imported(one, {"note": f"Fact {one.pk}."}) for one in found], by=BY)
    Conversation.objects.update(analysis_config=config)
    editor = as_role(Role.EDITOR)
    assert "No model request, no charge" in text(editor.get(URL))

    make_contact_field("note")
    make_mapping("note", "note", mode="accumulate")
    shown = text(editor.get(URL, headers=HTMX))
    assert "No model request" not in shown
    assert "A model then combines accumulated texts: an estimated 1 request," in shown
    assert f"price unknown (set prices for {model.name} under Models)" in shown
    type(model).objects.update(input_price=1, output_price=2)
    assert "1 request, about $0.0" in text(editor.get(URL, headers=HTMX))
    type(model).objects.update(input_price=0, output_price=0)
    assert "1 request, no charge" in text(editor.get(URL, headers=HTMX))


def test_the_run_keeps_what_combining_texts_may_cost() -> None:
    model = make_model(input_price=1, output_price=2)
    agent = make_agent(model=model)
    make_conversations(agent, 2)
    config = agent.versions.drafts().get().config
    Conversation.objects.update(contact=make_contact(), analysis_config=config)
    found = list(Conversation.objects.order_by("pk"))
    record_imported([Imported(one, {"note": f"Fact {one.pk}."}) for one in found], by=BY)
    Conversation.objects.update(analysis_config=config)
    make_contact_field("note")
    make_mapping("note", "note", mode="accumulate")

    run = start_mapping_run(channel="voice", params={}, by=BY)

    assert Decimal(run.estimate["cost"]) > 0
    assert run.estimate["input_tokens"] > 0
    page = text(as_role(Role.EDITOR).get(f"/backfills/{run.public_id}/"))
    assert "Then combining accumulated texts: up to" in page


def test_the_dialog_applies_mappings_to_what_its_filters_match() -> None:
    make_conversations(make_agent(), 3)
    Conversation.objects.update(contact=make_contact())
    found = list(Conversation.objects.order_by("pk"))
    record_imported([Imported(one, {"plan": f"p{one.pk}"}) for one in found], by=BY)
    editor = as_role(Role.EDITOR)
    asked = {"channel": "voice", "id": found[0].public_id}

    shown = editor.post(URL, {**asked, "preview": "1"}, headers=HTMX)
    assert "1 call with a result, of 1 contact" in text(shown)
    assert "Apply to 1 call" in text(shown)
    wrong = editor.post(URL, {**asked, "duration_ms__gte": "soon", "preview": "1"}, headers=HTMX)
    assert "Fix the filter to see the numbers." in text(wrong)
    assert "disabled" in wrong.content.decode()
    refused = editor.post(URL, {**asked, "duration_ms__gte": "soon", "token": "x"}, headers=HTMX)
    assert "Can’t apply the mappings." in text(refused)
    token = re.search(r'name="token" value="([^"]+)"', shown.content.decode())
    assert token
    outside = editor.post(URL, {"channel": "voice", "token": token[1]}, headers=HTMX)
    assert "The filters changed after this preview." in text(outside)
    assert not Run.objects.exists()

    editor.post(URL, {**asked, "token": token[1]})
    assert [item.conversation_id for item in Run.objects.get().items.all()] == [found[0].pk]
