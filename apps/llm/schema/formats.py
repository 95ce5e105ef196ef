"""``format``, checked here without further packages; an unknown format accepts everything."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from datetime import date, datetime
from urllib.parse import urlsplit

from jsonschema import FormatChecker

# Plain shapes first: fromisoformat alone takes more than RFC 3339 does.
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIME = re.compile(
    r"([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d{1,12})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)",
    re.ASCII | re.IGNORECASE,
)
_DURATION = re.compile(
    r"P(?=[\dT])(\d+W|(\d+Y)?(\d+M)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+S)?)?)", re.ASCII
)
_ATOM = r"[^@\s\x22.]+"
_LOCAL = re.compile(rf"{_ATOM}(\.{_ATOM})*|\x22[^\x22\r\n]*\x22")
_DOMAIN = re.compile(r"[^@\s.\[\]=,;:<>()]+(\.[^@\s.\[\]=,;:<>()]+)*")
_LABEL = r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)"
_HOSTNAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_LONGEST = 4_096


def _is_date(value: str) -> bool:
    if not _DATE.fullmatch(value):
        return False
    date.fromisoformat(value)
    return True


def _is_time(value: str) -> bool:
    return bool(_TIME.fullmatch(value)) and (value[6:8] != "60" or _is_leap_second(value))


def _is_leap_second(value: str) -> bool:
    """A second 60 is only ever the last one of a day in UTC."""
    minutes = int(value[:2]) * 60 + int(value[3:5])
    zone = re.search(r"([+-])(\d\d):(\d\d)\Z", value)
    if zone:
        offset = int(zone[2]) * 60 + int(zone[3])
        minutes -= offset if zone[1] == "+" else -offset
    return minutes % 1440 == 1439


def _is_email(value: str) -> bool:
    local, _, domain = value.rpartition("@")
    if len(local) > 64 or not _LOCAL.fullmatch(local):
        return False
    if domain.startswith("[") and domain.endswith("]"):
        literal = domain[1:-1]
        if literal[:5].lower() == "ipv6:":
            ipaddress.IPv6Address(literal[5:])
        else:
            ipaddress.IPv4Address(literal)
        return True
    return bool(_DOMAIN.fullmatch(domain))


def _is_date_time(value: str) -> bool:
    day, _, time = value.upper().partition("T")
    if not (_is_date(day) and _is_time(time)):
        return False
    datetime.fromisoformat(day)
    return True


def _is_uri(value: str) -> bool:
    parts = urlsplit(value)
    return bool(parts.scheme) and bool(parts.netloc or parts.path) and not re.search(r"\s", value)


def _is_address(kind: Callable[[str], object]) -> Callable[[str], bool]:
    def check(value: str) -> bool:
        kind(value)
        return "%" not in value

    return check


def _matches(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda value: bool(pattern.fullmatch(value))


_CHECKS: dict[str, Callable[[str], bool]] = {
    "date": _is_date,
    "time": _is_time,
    "date-time": _is_date_time,
    "duration": _matches(_DURATION),
    "email": _is_email,
    "idn-email": _is_email,
    "hostname": _matches(_HOSTNAME),
    "ipv4": _is_address(ipaddress.IPv4Address),
    "ipv6": _is_address(ipaddress.IPv6Address),
    "uuid": _matches(_UUID),
    "uri": _is_uri,
    "url": _is_uri,
}


def _for_strings(check: Callable[[str], bool]) -> Callable[[object], bool]:
    def guarded(value: object) -> bool:
        return not isinstance(value, str) or (len(value) <= _LONGEST and check(value))

    return guarded


def format_checker() -> FormatChecker:
    """Return a checker of exactly the formats above."""
    checker = FormatChecker(formats=())
    for name, check in _CHECKS.items():
        checker.checkers = {**checker.checkers, name: (_for_strings(check), ValueError)}
    return checker
