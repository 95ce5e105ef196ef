"""What a provider says about money, keys and moderation, from its reply to the page and the API."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from apps.accounts.actors import Actor
from apps.accounts.keys import create_api_key
from apps.accounts.models import Role, User
from apps.analysis.effects import SideEffects
from apps.analysis.models import Analysis
from apps.analysis.services import request_rerun
from apps.conversations.models import Conversation
from apps.llm.models import Usage
from apps.llm.specs import Priority
from apps.webhooks.models import Event, EventType
from tests.factories import make_agent, make_conversation, make_model
from tests.fakes.fixtures import FakeLLM
from tests.runners import run_queue
from tests.webhooks.deliveries import endpoint_to

pytestmark = [pytest.mark.django_db(transaction=True)]

BY = Actor.system("tests")
KEY = "house-secret-word"
SCHEMA = {"type": "object", "properties": {"topic": {"type": "string"}}}


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("FAKE_API_KEY", KEY)
    yield
    connection.close()


def analyzed(fake: FakeLLM, answer: dict[str, Any]) -> Conversation:
    fake.raw_always(answer)
    model = make_model(base_url=fake.url, api_key_env="FAKE_API_KEY")
    conversation = make_conversation(make_agent(model=model, schema=SCHEMA))
    request_rerun(conversation=conversation, by=BY, side_effects=SideEffects(webhooks="all"))
    run_queue(Priority.INTERACTIVE, concurrency=1)
    return conversation


def replied(**body: Any) -> dict[str, Any]:
    message = {"message": {"content": '{"topic": "billing"}'}, "finish_reason": "stop"}
    return {"body": {"choices": [message], **body}}


def page(client: Client, conversation: Conversation, name: str = "conversation") -> str:
    client.force_login(User.objects.create_user("viewer", role=Role.VIEWER))
    return client.get(reverse(f"analysis:{name}", args=[conversation.public_id])).text


def api(client: Client, conversation: Conversation) -> str:
    _, key = create_api_key(name="tests", role=Role.VIEWER, by=BY)
    path = f"/api/conversations/{conversation.public_id}/analyses"
    return client.get(path, headers={"Authorization": f"Bearer {key}"}).text


def test_estimated_usage_is_marked_everywhere(client: Client, fake_llm: FakeLLM) -> None:
    conversation = analyzed(fake_llm, replied(usage=None))
    analysis = Analysis.objects.get()
    assert analysis.usage_estimated
    assert (analysis.input_tokens or 0) > 0
    assert Usage.objects.get().estimated
    [shown] = json.loads(api(client, conversation))["items"]
    assert shown["usage"]["estimated"] is True
    assert "(estimated)" in page(client, conversation)


def test_reported_usage_is_not_marked(client: Client, fake_llm: FakeLLM) -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 20, "total_tokens": 1020}
    conversation = analyzed(fake_llm, replied(usage=usage))
    assert not Analysis.objects.get().usage_estimated
    assert not Usage.objects.get().estimated
    [shown] = json.loads(api(client, conversation))["items"]
    assert shown["usage"]["estimated"] is False
    assert "(estimated)" not in page(client, conversation)


def test_counts_that_contradict_themselves_are_noted(client: Client, fake_llm: FakeLLM) -> None:
    details = {"cached_tokens": 1100}
    usage = {"prompt_tokens": 1000, "completion_tokens": 20, "prompt_tokens_details": details}
    conversation = analyzed(fake_llm, replied(usage=usage))
    analysis = Analysis.objects.get()
    assert (analysis.input_tokens, analysis.cached_tokens) == (1000, 1000)
    assert "1,100 cached of 1,000" in analysis.usage_note
    assert "(adjusted)" in page(client, conversation)


def test_a_key_that_a_provider_repeats_is_nowhere(
    client: Client, fake_llm: FakeLLM, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint_to("https://example.com/in", EventType.CONVERSATION_ANALYSIS_FAILED)
    said = f"Bad request for key {KEY} (sk-live-0123456789abcdefghij)"
    conversation = analyzed(fake_llm, {"status": 400, "body": {"error": {"message": said}}})
    analysis = Analysis.objects.get()
    assert analysis.error_message == "Bad request for key (key) ((key))"
    payload = Event.objects.get().payload
    assert "Bad request for key" in payload
    told = [page(client, conversation), api(client, conversation), caplog.text, payload]
    for text in told:
        assert KEY not in text
        assert "0123456789abcdefghij" not in text
