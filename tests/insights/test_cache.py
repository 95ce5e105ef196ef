"""Numbers are computed once, however many ask for them at the same time."""

from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from threading import Event

import pytest
from django.core.cache import cache

from apps.insights.cache import CLAIM_SECONDS, cached


@pytest.fixture(autouse=True)
def _empty() -> None:
    cache.clear()


def test_requests_at_the_same_time_wait_for_the_one_that_computes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waiting, made = Event(), []
    monkeypatch.setattr("apps.insights.cache.pause", lambda _: waiting.set())

    def make() -> int:
        made.append(1)
        assert waiting.wait(60)
        return 7

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: cached("key", 60, make), range(2)))
    assert (found, made) == ([7, 7], [1])


def test_number_of_a_dead_process_is_computed_once_its_claim_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    claim = f"insights:{sha256(b'key').hexdigest()}:claim"
    cache.set(claim, 1, CLAIM_SECONDS)
    monkeypatch.setattr("apps.insights.cache.pause", lambda _: cache.delete(claim))
    assert cached("key", 60, lambda: 7) == 7


def test_failed_computation_leaves_nothing_and_is_repeated() -> None:
    def fail() -> int:
        raise ValueError("failed")

    with pytest.raises(ValueError, match="failed"):
        cached("key", 60, fail)
    assert cached("key", 60, lambda: 8) == 8
    assert cached("key", 60, fail) == 8
