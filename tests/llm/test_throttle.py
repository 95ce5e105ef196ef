"""The rate that a provider bears, found by its 429s and shared by all workers."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

import pytest

from apps.llm.throttle import FREE, SLOWEST, Broker, Memory, Rate, Throttle, admit, refuse


class Bucket:
    """A provider that lets so many requests per second through, by a bucket of one second."""

    def __init__(self, per_second: float, now: float) -> None:
        self.per_second, self.tokens, self.at = per_second, per_second, now

    def takes(self, now: float) -> bool:
        self.tokens = min(
            max(self.per_second, 1.0), self.tokens + (now - self.at) * self.per_second
        )
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


def simulate(per_second: float, requests: int, *, in_flight: int = 8) -> tuple[int, float]:
    """How many are refused, and the seconds until all got through, one request at a time after
    the first burst."""
    now, refused, done = 1_000.0, 0, 0
    bucket, began = Bucket(per_second, now), now
    rate: Rate | None = None
    burst = [bucket.takes(now) for _ in range(in_flight)]
    done += sum(burst)
    for _ in range(in_flight - done):
        refused += 1
        seen = done / 2
        rate = refuse(rate, now + 0.2, sent_at=now, retry_after=None, seen=seen)
    now += 0.2
    while done < requests:
        if rate is not None:
            rate, wait = admit(rate, now, 0.0)
            if wait:
                now += wait
                continue
        if bucket.takes(now):
            done += 1
        else:
            refused += 1
            rate = refuse(rate, now, sent_at=now, retry_after=None, seen=done)
        now += 0 if rate else 1 / per_second
    return refused, now - began


@pytest.mark.parametrize("per_second", [0.5, 3, 20, 200])
def test_a_limit_is_found_with_few_refusals_and_then_used(per_second: float) -> None:
    requests = round(100 * per_second)
    refused, seconds = simulate(per_second, requests)
    assert refused <= 0.1 * requests + 20
    assert seconds <= 100 * 1.5


def test_a_limit_that_was_lifted_is_found_out() -> None:
    rate = refuse(None, 0.0, sent_at=0.0, retry_after=None, seen=2.0)
    now = 0.0
    while rate.allowed < FREE and now < 60:
        rate, wait = admit(rate, now, 0.0)
        now += wait
    assert 10 < now < 60


def test_requests_under_way_together_cut_once() -> None:
    rate = refuse(None, 10.0, sent_at=9.0, retry_after=None, seen=20.0)
    assert rate.allowed == pytest.approx(15.2)
    for _ in range(5):
        rate = refuse(rate, 10.5, sent_at=9.5, retry_after=None, seen=20.0)
    assert rate.allowed == pytest.approx(15.2)
    assert refuse(rate, 11.0, sent_at=10.6, retry_after=None, seen=20.0).allowed < 13


@pytest.mark.parametrize(("share", "seconds"), [(0.01, 30), (0.04, 150), (0.08, 250)])
def test_refusals_that_no_rate_would_spare_do_not_stop_a_run(share: float, seconds: float) -> None:
    chance, now, done = random.Random(1), 0.0, 0
    rate: Rate | None = None
    while done < 300:
        if rate is not None:
            rate, wait = admit(rate, now, 0.0)
            now += wait
            if wait:
                continue
        now += 0.02
        if chance.random() < share:
            rate = refuse(rate, now, sent_at=now, retry_after=None, seen=20.0)
        else:
            done += 1
    assert now < seconds


def test_a_provider_that_refuses_everything_is_asked_ever_more_rarely() -> None:
    rate, now = None, 0.0
    for _ in range(30):
        rate = refuse(rate, now, sent_at=now, retry_after=None, seen=5.0)
        now = rate.next_at
    assert rate is not None
    assert rate.allowed < 4 * SLOWEST


def test_retry_after_holds_everybody_and_is_bounded() -> None:
    rate = refuse(None, 0.0, sent_at=0.0, retry_after=20.0, seen=1.0)
    assert admit(rate, 1.0, 10.0)[1] == pytest.approx(19.1)
    rate = refuse(rate, 1.0, sent_at=0.0, retry_after=7_200.0, seen=1.0)
    assert admit(rate, 1.0, 10.0)[1] == pytest.approx(60)


def test_a_person_comes_before_the_backfill() -> None:
    rate = refuse(None, 0.0, sent_at=0.0, retry_after=None, seen=1.0)
    assert admit(rate, 0.1, 0.0)[1] > 1
    rate, wait = admit(rate, 0.1, 10.0)
    assert wait == 0
    assert rate.next_at > 2.5


class Clock:
    """Time that passes by sleeping."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


def forever() -> bool:
    return True


async def test_nobody_waits_before_a_refusal_and_a_wait_can_be_ended() -> None:
    clock = Clock()
    throttle = Throttle(Memory(clock.now), sleep=clock.sleep, now=clock.now)
    for _ in range(50):
        assert await throttle.enter("m", 0.0, forever)
        throttle.answered("m")
    assert clock.time == 0
    await throttle.refused("m", seconds_ago=0.0, retry_after=30.0)
    assert not await throttle.enter("m", 0.0, lambda: clock.time < 5)
    assert await throttle.enter("m", 0.0, forever)
    assert 30 <= clock.time < 32
    assert await throttle.enter("other", 0.0, forever)


async def test_workers_share_one_rate_through_the_broker() -> None:
    model = f"shared-{time.time_ns()}"
    one, two = Throttle(Broker()), Throttle(Broker())
    for _ in range(20):
        one.answered(model)
    await one.refused(model, seconds_ago=0.0, retry_after=None)  # 10 per second got through

    async def passed(throttle: Throttle, keep: Callable[[], bool]) -> int:
        count = 0
        while await throttle.enter(model, 0.0, keep):
            count += 1
        return count

    until = time.monotonic() + 2
    counts = await asyncio.gather(
        *(passed(t, lambda: time.monotonic() < until) for t in (one, two))
    )
    assert 4 <= sum(counts) <= 24
    assert min(counts) >= 1
    await one.aclose()
    await two.aclose()


async def test_without_the_broker_each_worker_slows_down_by_itself() -> None:
    throttle = Throttle(Broker("redis://127.0.0.1:9/0"))
    await throttle.refused("gone", seconds_ago=0.0, retry_after=None)
    until = time.monotonic() + 0.5
    assert not await throttle.enter("gone", 0.0, lambda: time.monotonic() < until)
    await throttle.aclose()
