from __future__ import annotations

import asyncio
import time

from apps.llm.limits import FIRST_IN_FLIGHT, MOST_UNANSWERED, Gate, Limits, Rates
from apps.llm.specs import ModelSpec, Priority


async def test_without_a_limit_people_never_wait() -> None:
    gate = Gate(None)
    for _ in range(1_000):
        await gate.enter(Priority.LIVE)
    assert gate.in_flight == 1_000


async def test_backfills_begin_with_a_few_and_each_success_lets_one_more_in() -> None:
    gate = Gate(None)
    waiting = [asyncio.create_task(gate.enter(Priority.BACKFILL)) for _ in range(100)]
    await asyncio.sleep(0)
    assert gate.in_flight == FIRST_IN_FLIGHT
    for _ in range(FIRST_IN_FLIGHT):
        gate.answered()
        gate.leave()
    assert gate.in_flight == 2 * FIRST_IN_FLIGHT
    gate.refused()
    assert gate.opened == FIRST_IN_FLIGHT
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_slow_provider_gets_more_before_its_first_response() -> None:
    gate = Gate(None, growth=0.001)
    waiting = [asyncio.create_task(gate.enter(Priority.BACKFILL)) for _ in range(100)]
    await asyncio.wait_for(asyncio.gather(*waiting[:MOST_UNANSWERED]), 30)
    await asyncio.sleep(0.05)
    assert gate.in_flight == MOST_UNANSWERED
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_after_a_429_only_a_success_lets_more_in() -> None:
    gate = Gate(None, growth=0.001)
    gate.refused()
    waiting = [asyncio.create_task(gate.enter(Priority.BACKFILL)) for _ in range(100)]
    await asyncio.sleep(0.05)
    assert gate.in_flight == FIRST_IN_FLIGHT
    gate.answered()
    assert gate.in_flight == FIRST_IN_FLIGHT + 1
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_backfills_leave_a_fifth_to_people() -> None:
    gate = Gate(10)
    backfill = [asyncio.create_task(gate.enter(Priority.BACKFILL)) for _ in range(12)]
    await asyncio.sleep(0)
    assert (gate.in_flight, sum(task.done() for task in backfill)) == (8, 8)
    await asyncio.wait_for(gate.enter(Priority.INTERACTIVE), 1)
    await asyncio.wait_for(gate.enter(Priority.LIVE), 1)
    assert gate.in_flight == 10
    for task in backfill:
        task.cancel()
    await asyncio.gather(*backfill, return_exceptions=True)


async def test_people_go_first() -> None:
    gate = Gate(1)
    await gate.enter(Priority.LIVE)
    order: list[Priority] = []

    async def come(priority: Priority) -> None:
        await gate.enter(priority)
        order.append(priority)

    tasks = [
        asyncio.create_task(come(priority))
        for priority in (Priority.BACKFILL, Priority.LIVE, Priority.INTERACTIVE)
    ]
    await asyncio.sleep(0)
    for _ in tasks:
        gate.leave()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert order == [Priority.INTERACTIVE, Priority.LIVE, Priority.BACKFILL]


async def test_a_cancelled_waiter_does_not_keep_the_place() -> None:
    gate = Gate(1)
    await gate.enter(Priority.LIVE)
    waiter = asyncio.create_task(gate.enter(Priority.LIVE))
    await asyncio.sleep(0)
    gate.leave()  # the place is given to the waiter, who is gone before it notices
    waiter.cancel()
    await asyncio.gather(waiter, return_exceptions=True)
    assert gate.in_flight == 0
    await asyncio.wait_for(gate.enter(Priority.LIVE), 1)


def spec(name: str, rpm: int | None = None, tpm: int | None = None) -> ModelSpec:
    return ModelSpec(f"{name}-{time.time_ns()}", requests_per_minute=rpm, tokens_per_minute=tpm)


class Full(Exception):
    """Somebody had to wait."""


async def nobody_sleeps(_seconds: float) -> None:
    raise Full


async def let_in(
    rates: Rates, model: ModelSpec, priority: Priority = Priority.LIVE, tokens: int = 1
) -> int:
    """How many requests fit into the minute."""
    count = 0
    try:
        while count < 100:
            await rates.reserve(model, priority, tokens)
            count += 1
    except Full:
        pass
    return count


async def test_requests_per_minute_are_shared_through_the_broker() -> None:
    one, two = Rates(sleep=nobody_sleeps), Rates(sleep=nobody_sleeps)
    model = spec("rpm", rpm=10)
    for _ in range(4):
        await one.reserve(model, Priority.LIVE, 1)
    assert await let_in(two, model) == 6
    assert await let_in(one, model) == 0
    await one.aclose()
    await two.aclose()


async def test_tokens_per_minute_and_a_request_larger_than_the_limit() -> None:
    rates = Rates(sleep=nobody_sleeps)
    assert await let_in(rates, spec("tpm", tpm=1_000), tokens=300) == 3
    assert await let_in(rates, spec("big", tpm=1_000), tokens=5_000) == 1
    await rates.aclose()


async def test_backfills_get_four_fifths_of_the_minute() -> None:
    rates = Rates(sleep=nobody_sleeps)
    model = spec("lanes", rpm=10)
    assert await let_in(rates, model, Priority.BACKFILL) == 8
    assert await let_in(rates, model, Priority.INTERACTIVE) == 2
    await rates.aclose()


async def test_without_the_broker_each_keeps_to_its_share() -> None:
    rates = Rates("redis://127.0.0.1:9/0", shares=2, sleep=nobody_sleeps)
    assert await let_in(rates, spec("gone", rpm=10)) == 5
    await rates.aclose()


async def test_a_model_without_limits_asks_nobody() -> None:
    limits = Limits()
    await limits.reserve(ModelSpec("free"), Priority.LIVE, 10)
    assert limits.gate(ModelSpec("free")).maximum is None
    await limits.aclose()


async def test_a_changed_limit_takes_effect() -> None:
    limits = Limits()
    gate = limits.gate(ModelSpec("m", max_concurrency=5))
    assert limits.gate(ModelSpec("m", max_concurrency=9)) is gate
    assert gate.maximum == 9
