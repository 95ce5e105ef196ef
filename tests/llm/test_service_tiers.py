"""The flex tier of a provider: asked for, refused for a while, rejected, and priced as reported."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from apps.llm.catalog import KNOWN_MODELS
from apps.llm.classification import fault_of
from apps.llm.client import LlmClient
from apps.llm.errors import ErrorCode, PauseReason
from apps.llm.failed_request import RetryPolicy
from apps.llm.models import LanguageModel
from apps.llm.pricing import charged_prices
from apps.llm.probes import FLEX_PROBE_SECONDS
from apps.llm.replies import parse_reply
from apps.llm.sender import FLEX_SECONDS, STANDARD_SECONDS, Scarcity, timeout_of
from apps.llm.services import usage_row
from apps.llm.specs import ModelSpec, Prices, TokenUsage
from tests.fakes.fixtures import FakeLLM
from tests.llm.test_client import Naps, request, valid

PATIENCE = 60.0
HALF = ModelSpec("m", prices=Prices(Decimal(2), Decimal(1), Decimal(8)), flex_factor=Decimal("0.5"))


@pytest.fixture
def naps() -> Naps:
    return Naps()


@pytest.fixture
async def client(naps: Naps) -> AsyncIterator[LlmClient]:
    made = naps.client(RetryPolicy(attempts=4, flex_patience=PATIENCE))
    yield made
    await made.aclose()


def flex(fake: FakeLLM, **changes: Any) -> Any:
    return request(fake, service_tier="flex", **changes)


async def test_the_reported_tier_is_kept_with_its_tokens(
    client: LlmClient, fake_llm: FakeLLM
) -> None:
    answer = await client.complete(flex(fake_llm))

    assert valid(answer)
    assert (answer.service_tier, answer.flex_usage) == ("flex", answer.usage)
    assert fake_llm.bodies[-1]["service_tier"] == "flex"

    fake_llm.set(flex="standard")
    answer = await client.complete(flex(fake_llm))
    assert (answer.service_tier, answer.flex_usage) == ("default", TokenUsage())


async def test_other_requests_name_no_tier(client: LlmClient, fake_llm: FakeLLM) -> None:
    answer = await client.complete(request(fake_llm))
    assert "service_tier" not in fake_llm.bodies[-1]
    assert (answer.service_tier, answer.flex_usage) == ("default", TokenUsage())


async def test_scarce_capacity_is_waited_for_and_slows_nobody_else(
    client: LlmClient, fake_llm: FakeLLM, naps: Naps
) -> None:
    fake_llm.set(flex_busy=5)
    answer = await client.complete(flex(fake_llm))

    assert valid(answer)
    assert (answer.requests, answer.service_tier) == (6, "flex")
    delays = naps.taken[:5]
    assert len(delays) == 5
    assert delays[-1] > delays[0]
    known = client.sender.state(flex(fake_llm).model)
    assert (known.refused_since, known.refusal) == (None, None)
    assert valid(await client.complete(request(fake_llm)))
    assert len(naps.taken) == 5


async def test_without_capacity_for_long_the_run_is_to_pause(
    client: LlmClient, fake_llm: FakeLLM, naps: Naps
) -> None:
    fake_llm.set(flex="busy")
    answer = await client.complete(flex(fake_llm))

    assert (answer.error, answer.pause) == (ErrorCode.RATE_LIMITED, PauseReason.RATE_LIMITED)
    assert answer.transient
    assert "fake-model has no flex capacity now. The provider says:" in answer.error_message
    assert naps.passed >= PATIENCE
    assert sum(naps.taken) < 2 * PATIENCE
    assert answer.usage.total == 0
    assert valid(await client.complete(request(fake_llm))), "the standard tier is open"


async def test_the_standard_tier_takes_over_where_that_was_chosen(
    client: LlmClient, fake_llm: FakeLLM, naps: Naps
) -> None:
    fake_llm.set(flex="busy")
    answer = await client.complete(flex(fake_llm, tier_fallback=True))
    assert valid(answer)
    assert (answer.service_tier, answer.flex_usage) == ("default", TokenUsage())

    waited, sent = sum(naps.taken), fake_llm.total
    assert valid(await client.complete(flex(fake_llm, tier_fallback=True)))
    assert (sum(naps.taken), fake_llm.total) == (waited, sent + 2), "one look, then no wait"

    fake_llm.set(flex="ok")
    assert (await client.complete(flex(fake_llm, tier_fallback=True))).service_tier == "flex"


async def test_a_model_without_the_tier_pauses_or_falls_back_once(
    client: LlmClient, fake_llm: FakeLLM
) -> None:
    fake_llm.set(flex="unknown")
    answer = await client.complete(flex(fake_llm))
    assert answer.pause is PauseReason.PROVIDER_DOWN
    assert answer.error_message.startswith("The provider doesn't offer flex for fake-model.")

    sent = fake_llm.total
    assert valid(await client.complete(flex(fake_llm, tier_fallback=True)))
    assert fake_llm.total == sent + 1, "known by now"


async def test_a_question_that_needed_both_tiers_is_split(
    client: LlmClient, fake_llm: FakeLLM
) -> None:
    prose = {"role": "assistant", "content": "Sure! Here it is."}
    fake_llm.raw(
        {
            "body": {
                "object": "chat.completion",
                "id": "1",
                "choices": [{"message": prose, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105},
                "service_tier": "flex",
            }
        }
    )
    fake_llm.set(flex="standard")
    answer = await client.complete(flex(fake_llm))
    assert valid(answer)
    assert (answer.requests, answer.service_tier) == (2, "default")
    assert answer.flex_usage == TokenUsage(100, 0, 5)
    assert answer.usage.input > 100


def test_time_outs_of_flex_are_as_long_as_advised() -> None:
    assert FLEX_SECONDS == 15 * 60


def test_scarcity_that_nobody_met_for_long_is_forgotten() -> None:
    scarce = Scarcity()
    assert not scarce.met(0, 60)
    assert not scarce.met(59, 60)
    assert scarce.met(60, 60)
    assert not scarce.met(200, 60)
    scarce.over()
    assert not scarce.met(230, 60)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"error": {"code": "resource_unavailable", "message": "Busy."}}, True),
        ({"error": {"message": "429 Resource Unavailable"}}, True),
        ({"error": {"code": "rate_limit_exceeded", "message": "Rate limit reached."}}, False),
        ({"error": {"code": "insufficient_quota", "message": "Check your plan."}}, False),
    ],
)
def test_a_429_says_whether_it_is_about_capacity(body: object, expected: bool) -> None:
    assert fault_of(429, body).no_capacity is expected


@pytest.mark.parametrize("tier", ["flex", "default", "", None, 7, "x" * 21, "a b", "\x00"])
def test_only_a_plain_name_is_taken_for_a_tier(tier: object) -> None:
    whole = {
        "id": "1",
        "object": "chat.completion",
        "choices": [{"message": {"content": "{}"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        "service_tier": tier,
    }
    expected = tier if tier in {"flex", "default"} else ""
    for reply in (whole, whole | {"more": 1}):
        assert parse_reply(json.dumps(reply).encode()).tier == expected  # type: ignore[union-attr]


def test_the_price_follows_the_reported_tier() -> None:
    usage = TokenUsage(1_000_000, 0, 0)
    assert charged_prices(HALF, trigger="backfill", tier="flex") == Prices(
        Decimal("1.0"), Decimal("0.5"), Decimal("4.0")
    )
    assert charged_prices(HALF, trigger="backfill", tier="default") == HALF.prices
    assert usage_row(spec=HALF, purpose="analysis", usage=usage, tier="flex").cost == 1
    assert usage_row(spec=HALF, purpose="analysis", usage=usage, tier="priority").cost == 2
    without = ModelSpec("m", prices=HALF.prices)
    assert usage_row(spec=without, purpose="analysis", usage=usage, tier="flex").cost == 2


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"flex_factor": Decimal(0)}, "above 0 and at most 1"),
        ({"flex_factor": Decimal("1.001")}, "above 0 and at most 1"),
        ({"input_price": None, "output_price": None}, "needs the model's prices"),
        ({"is_local": True}, "The bundled model has no flex"),
    ],
)
def test_a_factor_needs_a_price_and_a_provider(values: dict[str, Any], message: str) -> None:
    model = LanguageModel(
        **{
            "name": "m",
            "input_price": Decimal(1),
            "output_price": Decimal(1),
            "flex_factor": Decimal("0.5"),
        }
        | values
    )
    with pytest.raises(ValidationError, match=message):
        model.full_clean()


def test_the_catalog_offers_flex_for_the_models_that_have_it() -> None:
    offered = {known.name for known in KNOWN_MODELS if known.fields()["flex_factor"]}
    assert offered == {"gpt-5", "gpt-5-mini", "gpt-5-nano"}


async def test_a_request_without_a_time_out_gets_that_of_its_tier(fake_llm: FakeLLM) -> None:
    standard, slow = request(fake_llm), flex(fake_llm)
    assert (timeout_of(standard), timeout_of(slow)) == (STANDARD_SECONDS, FLEX_SECONDS)
    probe = flex(fake_llm, timeout=FLEX_PROBE_SECONDS)
    assert timeout_of(probe) == FLEX_PROBE_SECONDS
