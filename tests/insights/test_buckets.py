"""Parts of a period in TIME_ZONE, also on the days on which clocks change."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest
from django.test import override_settings
from django.utils import timezone

from apps.conversations.models import Conversation
from apps.insights.buckets import Bucket, Size, buckets_of, size_for
from apps.insights.periods import Period
from apps.insights.volume import volume_of
from tests.factories import make_agent

from .generated import opened_by, scope_of

LATER = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def utc() -> Iterator[None]:
    with timezone.override("UTC"):
        yield


def buckets(first: date, last: date, now: datetime = LATER) -> tuple[Bucket, ...]:
    return buckets_of(Period(first, last), now=now)


def hours_of(bucket: Bucket) -> float:
    """Return its length; two times of one zone would be subtracted by the wall clock."""
    return (bucket.end.timestamp() - bucket.start.timestamp()) / 3600


@pytest.mark.parametrize(
    ("days", "size"),
    [
        (1, "hour"),
        (2, "hour"),
        (3, "day"),
        (62, "day"),
        (63, "week"),
        (190, "week"),
        (191, "month"),
    ],
)
def test_size_follows_the_length_of_the_period(days: int, size: str) -> None:
    assert size_for(days) == size


@pytest.mark.parametrize("days", [1, 2, 7, 62, 90, 366])
def test_buckets_cover_the_period_without_gaps(days: int) -> None:
    first = date(2024, 2, 10)
    period = Period(first, first + timedelta(days=days - 1))
    found = buckets_of(period, now=LATER)
    assert (found[0].start, found[-1].end) == (period.start, period.end)
    assert all(one.end == following.start for one, following in pairwise(found))


@override_settings(TIME_ZONE="Europe/Berlin")
def test_days_on_which_clocks_change_have_23_and_25_hours() -> None:
    with timezone.override("Europe/Berlin"):
        for day, hours in ((date(2025, 3, 30), 23), (date(2025, 10, 26), 25)):
            found = buckets(day, day)
            assert len(found) == hours
            assert all(hours_of(b) == 1 for b in found)
        week = buckets(date(2025, 3, 28), date(2025, 4, 1))
        assert [hours_of(b) for b in week] == [24, 24, 23, 24, 24]


def test_weeks_begin_on_monday_and_months_on_the_first() -> None:
    weeks = buckets(date(2025, 3, 5), date(2025, 6, 2))
    assert weeks[0].first_day == date(2025, 3, 5)
    assert {one.first_day.weekday() for one in weeks[1:]} == {0}
    assert (weeks[0].is_partial, weeks[1].is_partial, weeks[-1].is_partial) == (True, False, True)
    months = buckets(date(2025, 1, 15), date(2025, 12, 31))
    assert [one.size for one in months] == [Size.MONTH] * 12
    assert {one.first_day.day for one in months[1:]} == {1}
    assert (months[0].is_partial, months[-1].is_partial) == (True, False)


def test_none_begins_in_the_future_and_the_current_one_is_partial() -> None:
    now = datetime(2025, 6, 3, 12, tzinfo=UTC)
    found = buckets(date(2025, 6, 1), date(2025, 6, 30), now)
    assert [one.first_day.day for one in found] == [1, 2, 3]
    assert [one.is_partial for one in found] == [False, False, True]
    assert len(buckets(date(2025, 7, 1), date(2025, 7, 30), now)) == 1


def test_labels() -> None:
    assert buckets(date(2025, 3, 1), date(2025, 3, 1))[14].title == "Sat, Mar 1, 2025, 2 PM"
    assert buckets(date(2025, 3, 1), date(2025, 3, 9))[1].title == "Sun, Mar 2, 2025"
    weeks = buckets(date(2025, 3, 1), date(2025, 5, 30))
    assert (weeks[1].label, weeks[1].title) == ("Mar 3", "Mar 3–9, 2025")
    assert weeks[5].title == "Mar 31, 2025 – Apr 6, 2025"


@pytest.mark.django_db
@override_settings(TIME_ZONE="America/New_York")
def test_hours_that_clocks_repeat_are_two_parts_with_their_own_links() -> None:
    with timezone.override("America/New_York"):
        agent = make_agent()
        version = agent.versions.get()
        # 1:30 AM twice, before and after clocks go back.
        for n, at in enumerate(
            (datetime(2025, 11, 2, 5, 30, tzinfo=UTC), datetime(2025, 11, 2, 6, 30, tzinfo=UTC))
        ):
            for extra in range(n + 1):
                Conversation.objects.create(
                    agent=agent, agent_version=version, channel="voice", route=str(agent.pk),
                    external_id=f"{n}-{extra}", sort_at=at, started_at=at,
                )  # fmt: skip
        scope = scope_of("from=2025-11-02&to=2025-11-02", now=LATER)
        volume = volume_of(scope)
        assert len(volume.series) == 25
        twice = [p for p in volume.series if p.conversations]
        assert [(p.bucket.label, p.conversations) for p in twice] == [("1 AM", 1), ("1 AM", 2)]
        assert [opened_by(p.url) for p in twice] == [1, 2]
