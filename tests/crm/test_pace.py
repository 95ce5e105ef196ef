"""The limit of requests in a window, by a clock that only waiting moves."""

from hypothesis import given
from hypothesis import strategies as st

from apps.crm.connectors.pace import Pace
from tests.crm.vendors import Clock


@given(pauses=st.lists(st.floats(0, 5), min_size=1, max_size=80), limit=st.integers(1, 10))
async def test_no_window_has_more_requests_than_its_limit(pauses: list[float], limit: int) -> None:
    clock = Clock()
    pace = Pace(limit, 10.0, clock)
    sent = []
    for pause in pauses:
        clock.time += pause
        await pace.enter()
        sent.append(clock.time)
    for index, at in enumerate(sent):
        assert sum(at <= other < at + 10.0 for other in sent[index:]) <= limit


async def test_nothing_waits_below_the_limit() -> None:
    clock = Clock()
    pace = Pace(5, 10.0, clock)
    for _ in range(5):
        await pace.enter()
    assert clock.slept == 0


async def test_limit_follows_the_headers_and_leaves_a_rest_to_others() -> None:
    clock = Clock()
    pace = Pace(5, 10.0, clock)
    pace.learn(limit=200, seconds=10.0, remaining=150)
    for _ in range(190):
        await pace.enter()
    assert clock.slept == 0
    pace.learn(limit=200, seconds=10.0, remaining=3)
    await pace.enter()
    assert clock.slept > 0
