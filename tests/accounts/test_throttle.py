from datetime import UTC, datetime, timedelta

import pytest

from apps.accounts import throttle
from apps.accounts.models import LoginThrottle
from apps.accounts.throttle import TooManyAttempts, count_attempt, forgive

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def _try(times: int, username: str = "ada", address: str = "10.0.0.1", now: datetime = NOW) -> None:
    for _ in range(times):
        count_attempt(username=username, address=address, now=now)


def test_the_sixth_attempt_has_to_wait() -> None:
    _try(5)

    with pytest.raises(TooManyAttempts, match="Try again in 15 minutes") as refused:
        _try(1)
    assert refused.value.wait == throttle.WINDOW


def test_the_wait_grows_shorter_and_is_said_in_words() -> None:
    _try(5)

    with pytest.raises(TooManyAttempts, match=r"in 1 minute\."):
        _try(1, now=NOW + timedelta(minutes=14, seconds=30))


def test_after_the_window_it_starts_again() -> None:
    _try(5)
    _try(5, now=NOW + throttle.WINDOW)


def test_upper_and_lower_case_are_one_name() -> None:
    _try(5, username="Ada")

    with pytest.raises(TooManyAttempts):
        _try(1, username="aDA")


def test_another_address_is_not_locked_out() -> None:
    _try(5)
    _try(5, address="10.0.0.2")


def test_one_address_cannot_try_many_names() -> None:
    for number in range(throttle.PER_ADDRESS):
        _try(1, username=f"name-{number}")

    with pytest.raises(TooManyAttempts):
        _try(1, username="another")


def test_many_addresses_cannot_try_one_name_for_ever() -> None:
    for number in range(throttle.PER_NAME):
        _try(1, address=f"10.0.{number}.1")

    with pytest.raises(TooManyAttempts):
        _try(1, address="10.9.9.9")


def test_what_was_refused_at_one_address_does_not_count_against_the_name() -> None:
    for _ in range(throttle.PER_NAME * 2):
        try:
            _try(1)
        except TooManyAttempts:
            continue

    _try(1, address="10.0.0.2")


def test_a_success_is_taken_back() -> None:
    _try(4)
    forgive(username="ada", address="10.0.0.1")

    _try(5)
    assert sorted(LoginThrottle.objects.values_list("failures", flat=True)) == [5, 8, 8]


def test_names_and_addresses_are_not_kept() -> None:
    _try(1, username="ada@example.com")

    assert not LoginThrottle.objects.filter(key__contains="ada").exists()


def test_ended_windows_are_purged() -> None:
    _try(1)

    assert throttle.purge(now=NOW) == 0
    assert throttle.purge(now=NOW + throttle.WINDOW) == 3
