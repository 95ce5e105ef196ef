"""The engine over a real database and a real server of the OpenAI protocol."""

import time
from collections.abc import Iterator

import pytest
from django.db import connection

from apps.accounts.actors import Actor
from apps.analysis.models import Analysis, Lane, State
from apps.analysis.services import request_rerun
from apps.conversations.models import Conversation
from apps.llm.models import Usage
from tests.engines import run_lane
from tests.factories import edit_prompt, make_agent, make_conversation, make_model
from tests.fakes.fixtures import FakeLLM

pytestmark = [pytest.mark.django_db(transaction=True)]

BY = Actor.system("tests")


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("FAKE_API_KEY", "fake")
    yield
    connection.close()


def run_engine(lane: Lane = Lane.INTERACTIVE) -> int:
    return run_lane(lane, concurrency=8)


def a_conversation(fake: FakeLLM) -> Conversation:
    model = make_model(base_url=fake.url, api_key_env="FAKE_API_KEY")
    return make_conversation(make_agent(model=model))


def test_a_rerun_becomes_the_current_result(fake_llm: FakeLLM) -> None:
    conversation = a_conversation(fake_llm)
    first = request_rerun(conversation=conversation, by=BY)
    assert run_engine() == 1
    edit_prompt(conversation.agent, "Write a 1–5 word summary of the call.")
    second = request_rerun(conversation=conversation, by=BY)
    assert run_engine() == 1
    first.refresh_from_db()
    second.refresh_from_db()
    conversation.refresh_from_db()
    assert (first.state, first.is_current) == (State.SUCCEEDED, False)
    assert (second.state, second.is_current) == (State.SUCCEEDED, True)
    assert first.config_id != second.config_id
    assert conversation.analysis_config_id == second.config_id
    assert second.output
    assert conversation.summary == second.output["call_summary"]
    assert conversation.analysis_trigger == "rerun"
    assert fake_llm.total == 2
    assert "Write a 1–5 word summary" in str(fake_llm.bodies[-1])
    assert Usage.objects.filter(analysis_id=second.public_id, cost__gt=0).count() == 1


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("refusal", "refusal"),
        ("empty", "empty_output"),
        ("content_filter", "content_filter"),
        ("length", "length"),
        ("not_json", "invalid_output"),
        ("401", "auth"),
        ("quota", "quota"),
    ],
)
def test_a_failure_keeps_the_old_result_and_says_why(
    fake_llm: FakeLLM, kind: str, code: str
) -> None:
    conversation = a_conversation(fake_llm)
    request_rerun(conversation=conversation, by=BY)
    run_engine()
    before = Conversation.objects.values().get(pk=conversation.pk)
    fake_llm.always(kind)
    failed = request_rerun(conversation=conversation, by=BY)
    run_engine()
    failed.refresh_from_db()
    assert (failed.state, failed.error_code, failed.is_current) == (State.FAILED, code, False)
    assert failed.error_message
    assert Conversation.objects.values().get(pk=conversation.pk) == before


def test_a_first_failure_shows_on_the_conversation(fake_llm: FakeLLM) -> None:
    conversation = a_conversation(fake_llm)
    fake_llm.always("refusal")
    request_rerun(conversation=conversation, by=BY)
    run_engine()
    conversation.refresh_from_db()
    assert (conversation.analysis_state, conversation.analysis_reason) == ("failed", "refusal")


def test_an_engine_that_is_to_stop_hands_back_what_was_not_sent(fake_llm: FakeLLM) -> None:
    conversation = a_conversation(fake_llm)
    waiting = request_rerun(conversation=conversation, by=BY)
    assert run_lane(Lane.INTERACTIVE, stopping=lambda: True) == 0
    waiting.refresh_from_db()
    assert (waiting.state, waiting.attempts) == (State.PENDING, 0)
    assert fake_llm.total == 0


def test_what_does_not_answer_in_time_is_handed_back_at_a_stop(fake_llm: FakeLLM) -> None:
    conversation = a_conversation(fake_llm)
    waiting = request_rerun(conversation=conversation, by=BY)
    fake_llm.set(latency=30)
    begun = time.monotonic()

    def stopping() -> bool:
        return fake_llm.total > 0

    assert run_lane(Lane.INTERACTIVE, stopping=stopping, grace=0.5) == 0
    assert time.monotonic() - begun < 10
    waiting.refresh_from_db()
    assert waiting.state == State.PENDING


def test_a_transcript_that_does_not_fit_is_refused_without_a_request(fake_llm: FakeLLM) -> None:
    model = make_model(
        base_url=fake_llm.url,
        api_key_env="FAKE_API_KEY",
        context_tokens=2_000,
        max_output_tokens=700,
    )
    long = [{"role": "user", "content": "word " * 4_000}]
    conversation = make_conversation(make_agent(model=model), messages=long)
    refused = request_rerun(conversation=conversation, by=BY)
    run_engine()
    refused.refresh_from_db()
    assert (refused.state, refused.error_code) == (State.FAILED, "transcript_too_long")
    assert fake_llm.total == 0
    assert Analysis.objects.open().count() == 0
