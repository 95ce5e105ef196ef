"""Limits on failed sign-ins, counted in PostgreSQL.

Not in the broker: it may be emptied or away at any time, and a limit that disappears with it
is none. One upsert counts the attempt *before* the password is looked at, so that a hundred
attempts at once are a hundred, and a success takes it back.
"""

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from math import ceil

from django.db import connection
from django.db.models import F
from django.db.models.functions import Greatest

from apps.accounts.models import LoginThrottle
from apps.core.client_address import network_of
from apps.core.errors import UserError

WINDOW = timedelta(minutes=15)
PER_NAME_AND_ADDRESS = 5
PER_ADDRESS = 50
PER_NAME = 1_000
"""From all addresses together: it takes 200 addresses to lock a name, and even then the person
gets in from a browser that they have used before. Low enough that no password is guessed."""
PER_DEVICE = 10
"""From a browser that this person has signed in with before; the other limits don't count there."""
PER_PERSON = 5
"""Guesses of the current password by anyone who sits before an open session."""


class TooManyAttempts(UserError):
    """Sign-in is rejected until the window ends, with the right password too."""

    code = "too_many_attempts"
    status = 429

    def __init__(self, wait: timedelta) -> None:
        self.wait = wait
        minutes = max(1, ceil(wait.total_seconds() / 60))
        unit = "minute" if minutes == 1 else "minutes"
        super().__init__(f"Too many failed sign-ins. Try again in {minutes} {unit}.")


def count_attempt(*, username: str, address: str, now: datetime) -> None:
    """Count one sign-in. Raises TooManyAttempts when a limit was reached already."""
    near = {_pair(username, address): PER_NAME_AND_ADDRESS, _address(address): PER_ADDRESS}
    _hit(near, now)
    # Only what one address is still allowed counts against the name.
    _hit({_name(username): PER_NAME}, now)


def count_known_device(*, device: str, now: datetime) -> None:
    """Count a sign-in from a browser that is known. Raises TooManyAttempts."""
    _hit({_key("device", device): PER_DEVICE}, now)


def count_password_check(*, person: int, now: datetime) -> None:
    """Count a guess of the current password in a session. Raises TooManyAttempts."""
    _hit({_key("person", str(person)): PER_PERSON}, now)


def forgive_device(*, device: str) -> None:
    """Take the attempts from a known browser back."""
    LoginThrottle.objects.filter(key=_key("device", device)).delete()


def forgive_password_check(*, person: int) -> None:
    """Take the guesses of the current password back."""
    LoginThrottle.objects.filter(key=_key("person", str(person))).delete()


def forgive(*, username: str, address: str) -> None:
    """Take a successful sign-in back out of the counts."""
    LoginThrottle.objects.filter(key=_pair(username, address)).delete()
    LoginThrottle.objects.filter(key__in=[_address(address), _name(username)]).update(
        failures=Greatest(F("failures") - 1, 0)
    )


def purge(*, now: datetime) -> int:
    """Delete windows that have ended; how many there were."""
    return LoginThrottle.objects.filter(ends_at__lte=now).delete()[0]


HIT = """
INSERT INTO accounts_loginthrottle AS t (key, failures, ends_at)
SELECT key, 1, %(ends_at)s FROM unnest(%(keys)s::text[]) AS key
ON CONFLICT (key) DO UPDATE SET
    failures = CASE WHEN t.ends_at <= %(now)s THEN 1 ELSE least(t.failures + 1, 1000000) END,
    ends_at = CASE WHEN t.ends_at <= %(now)s THEN excluded.ends_at ELSE t.ends_at END
RETURNING key, failures, ends_at
"""


def _hit(limits: dict[str, int], now: datetime) -> None:
    params: dict[str, list[str] | datetime] = {"keys": sorted(limits), "now": now}
    params["ends_at"] = now + WINDOW
    with connection.cursor() as cursor:
        cursor.execute(HIT, params)
        rows: Iterable[tuple[str, int, datetime]] = cursor.fetchall()
    over = [ends_at for key, failures, ends_at in rows if failures > limits[key]]
    if over:
        raise TooManyAttempts(max(over) - now)


def _key(*parts: str) -> str:
    """Return a fixed-length key; names and addresses themselves are not stored."""
    return hashlib.sha256("\0".join(parts).encode(errors="replace")).hexdigest()


def _name(username: str) -> str:
    return _key("name", username.casefold())


def _address(address: str) -> str:
    return _key("address", network_of(address))


def _pair(username: str, address: str) -> str:
    return _key("pair", username.casefold(), network_of(address))
