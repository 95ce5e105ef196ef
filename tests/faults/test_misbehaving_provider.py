"""A provider that fails in every way at once: each item ends as what happened to it."""

import random

import pytest
from django.db.models import F, Q

from apps.conversations.models import Transcript
from apps.llm.errors import ErrorCode
from apps.runs.models import State
from tests.factories import make_conversations
from tests.fakes.fixtures import FakeLLM

from .harness import Workers, wait_until
from .runs import agent_of, assert_consistent, is_over, start_run

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

ITEMS = 300

#: What a conversation meets at each request about it, and how it must end. Empty: well.
FATES = {
    "refusal": ErrorCode.REFUSAL,
    "content_filter": ErrorCode.CONTENT_FILTER,
    "filter_400": ErrorCode.CONTENT_FILTER,
    "length": ErrorCode.LENGTH,
    "empty": ErrorCode.EMPTY_OUTPUT,
    "not_json": ErrorCode.INVALID_OUTPUT,
    "against_schema": ErrorCode.INVALID_OUTPUT,
    "deep": ErrorCode.INVALID_OUTPUT,
    "context_length": ErrorCode.TRANSCRIPT_TOO_LONG,
    "400": ErrorCode.PROVIDER_ERROR,
    # At the first request only: another one helps.
    "429 once": "",
    "429_retry_after:1 once": "",
    "500 once": "",
    "503 once": "",
    "reset once": "",
    "html once": "",
    "not_json once": "",
    # Odd, but an answer all the same.
    "late:2": "",
    "drip:0.001": "",
    "nul": "",
    "no_usage": "",
    "wrong_usage": "",
    "extra_keys": "",
}

#: What anybody meets by chance; six tries make it next to impossible to meet only these.
CHANCE = {
    "429": 0.02,
    "429_retry_after:1": 0.02,
    "500": 0.03,
    "503": 0.02,
    "reset": 0.03,
    "html": 0.02,
    "late:1": 0.05,
}


def test_every_item_ends_with_its_own_cause(fake_llm: FakeLLM, workers: Workers) -> None:
    fake_llm.set(latency=0.05, probability=CHANCE, seed=7)
    workers.start()
    agent = agent_of(fake_llm)
    conversations = make_conversations(agent, ITEMS)
    chance = random.Random(7)
    fated = chance.sample(conversations, 4 * len(FATES))
    expected: dict[int, str] = {c.pk: "" for c in conversations}
    for position, conversation in enumerate(fated):
        fate, code = list(FATES.items())[position % len(FATES)]
        transcript = Transcript.objects.get(conversation=conversation)
        transcript.messages[-1]["content"] += f" [[fake:{fate}]]"
        transcript.save()
        expected[conversation.pk] = code
    run = start_run()
    wait_until(lambda: is_over(run), timeout=240)

    assert run.state == State.COMPLETED
    ended = dict(run.items.values_list("conversation_id", "error_code"))
    assert ended == expected
    good = sum(not code for code in expected.values())
    assert run.items.filter(state="done").count() == good
    assert run.items.filter(state="failed").count() == ITEMS - good
    assert_consistent(current=good)
    failed = run.items.filter(state="failed")
    assert not failed.filter(error_message="").exists()
    assert not failed.exclude(
        Q(analysis__state="failed") & Q(analysis__error_code=F("error_code"))
    ).exists()
