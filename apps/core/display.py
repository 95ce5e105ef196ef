"""Values as people read them. Plain functions from a value to a word, without markup."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

from django.utils import timezone

from .yes_no import worded_truth

NOTHING = "\u2013"  # stands where there is no value, so that columns do not collapse

Numeric = int | float | Decimal


_UNITS: tuple[tuple[int, str], ...] = ((1_000_000_000, "B"), (1_000_000, "M"))


def number(value: object) -> str:
    """Return `12,904`, with up to two decimals. Any other value is returned unchanged."""
    if value is None or value == "":
        return NOTHING
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return str(value)
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.2f}".rstrip("0").rstrip(".")


def compact(value: Numeric | None) -> str:
    """Return a number whose last digits do not matter: `14.1 M`; exact below a million."""
    if value is None:
        return NOTHING
    for size, unit in _UNITS:
        if abs(float(value)) >= size:
            scaled = f"{float(value) / size:.1f}".removesuffix(".0")
            return f"{scaled} {unit}"
    return number(value)


def money(value: Numeric | None) -> str:
    """Dollars with as many digits as it takes to be true: `$0.0007`, `$7.24`, `$1,204.50`.

    From one dollar on two digits, below it the first two that are not zero. None is a price
    that no one has set, which is not the same as nothing to pay.
    """
    if value is None:
        return "price unknown"
    amount = Decimal(str(value))
    if not amount:
        return "$0.00"
    places = 2
    if abs(amount) < 1:
        places = max(2, 1 - amount.adjusted())
    rounded = abs(amount).quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)
    return f"-{_dollars(rounded)}" if amount < 0 else _dollars(rounded)


def rate(value: Decimal | None) -> str:
    """Return a price per million tokens with all its digits: `$2.00`, `$0.075`, `$2.125`."""
    return NOTHING if value is None else _dollars(value)


def _dollars(amount: Decimal) -> str:
    """Return all digits of an amount but the zeros at its end, at least two behind the point."""
    whole, _, digits = f"{amount:,f}".partition(".")
    return f"${whole}.{digits.rstrip('0').ljust(2, '0')}"


def price(value: Numeric | None) -> str:
    """Return the price of one thing: like money, but `free` instead of zero."""
    return "free" if value is not None and not Decimal(str(value)) else money(value)


def share(part: Numeric | None, whole: Numeric | None) -> float:
    """`part` of `whole` in percent, between 0 and 100; 0 where there is nothing to divide by."""
    if not part or not whole:
        return 0.0
    return min(100.0, max(0.0, float(part) / float(whole) * 100))


def percent(part: Numeric | None, whole: Numeric = 1) -> str:
    """`42%`. Only all of it is 100%, only nothing is 0%: else `>99%` and `<1%`."""
    if part is None or not whole:
        return NOTHING
    exact_share = float(part) / float(whole) * 100
    if 0 < exact_share < 1:
        return "<1%"
    if 99 < exact_share < 100:
        return ">99%"
    return f"{exact_share:.0f}%"


def duration(milliseconds: Numeric | None) -> str:
    """Return the length of a conversation: `3:41`, `1:02:03`. Whole seconds, rounded down."""
    if milliseconds is None:
        return NOTHING
    minutes, seconds = divmod(int(milliseconds) // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def timespan(seconds: Numeric | timedelta | None) -> str:
    """Return a length of time in two units at most: `46s`, `12m`, `1h 5m`, `2d 3h`."""
    if seconds is None:
        return NOTHING
    whole = round(seconds.total_seconds() if isinstance(seconds, timedelta) else float(seconds))
    if whole < 90:
        return f"{whole}s"
    minutes = round(whole / 60)
    if minutes < 60:
        return f"{minutes}m"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours}h {minutes}m" if minutes else f"{hours}h"
    days, hours = divmod(hours, 24)
    return f"{days}d {hours}h" if hours else f"{days}d"


def pace(rate: float) -> str:
    """Return a rate per second for people: `210/s`, `3.4/s`, `12/min`; empty for none."""
    if rate >= 10:
        return f"{rate:,.0f}/s"
    if rate >= 1:
        return f"{rate:.1f}/s"
    return f"{rate * 60:.0f}/min" if rate * 60 >= 0.5 else ""


def exact(value: datetime | None) -> str:
    """Return the full time with its zone: `Tue, Oct 21, 2025, 2:03:22 PM UTC`."""
    if value is None:
        return NOTHING
    return _local(value).strftime("%a, %b %-d, %Y, %-I:%M:%S %p %Z")


def clock(value: datetime) -> str:
    """Return the time of day: `2:03:22 PM`."""
    return _local(value).strftime("%-I:%M:%S %p")


def ago(value: datetime, now: datetime | None = None) -> str:
    """Return how long ago or how soon, `3h ago`; from a week on, the date. See js/live.js."""
    now = now or timezone.now()
    seconds = (now - value).total_seconds()
    if abs(seconds) >= 7 * 86_400:
        local, year = _local(value), _local(now).year
        return local.strftime("%b %-d" if local.year == year else "%b %-d, %Y")
    if abs(seconds) < 10:
        return "just now"
    size = abs(seconds)
    for limit, unit, length in ((60, "s", 1), (3600, "m", 60), (86_400, "h", 3600)):
        if size < limit:
            text = f"{int(size // length)}{unit}"
            break
    else:
        text = f"{int(size // 86_400)}d"
    return f"{text} ago" if seconds > 0 else f"in {text}"


def _local(value: datetime) -> datetime:
    return timezone.localtime(value) if timezone.is_aware(value) else value


def short_id(value: object) -> str:
    """Return the prefix and the first six characters of a public id: `conv_7Jx2ma…`."""
    prefix, underscore, rest = str(value).rpartition("_")
    return f"{prefix}{underscore}{rest[:6]}…" if len(rest) > 8 else str(value)


def json_pretty(value: object) -> str:
    """JSON for reading: indented, letters of every script as they are, keys in their order."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def one_line(value: object) -> str:
    """Return a JSON value of any shape as text for reading: `topic: refund; items: 2, 3`."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, list):
        return ", ".join(filter(None, map(one_line, value)))
    if isinstance(value, dict):
        held = ((key, one_line(item)) for key, item in value.items())
        return "; ".join(f"{key}: {text}" for key, text in held if text)
    return str(value)


def words(value: str) -> str:
    """Return a name from a program as words: `not_connected` is `Not connected`."""
    text = value.replace("_", " ").strip()
    return text[:1].upper() + text[1:]


_STATES = {
    "ok": "succeeded completed done published active delivered enabled resolved sent",
    "bad": "failed error invalid refused revoked",
    "warn": "paused cancelling stale draft parked waiting_for_approval",
    "info live": "running ongoing",
    "mute": "none pending queued skipped registered not_connected cancelled disabled dropped",
}
_KINDS = {word: kind for kind, line in _STATES.items() for word in line.split()}


def state_kind(value: str) -> str:
    """Return the classes of a state's dot; none for a word that is not known."""
    return _KINDS.get(value, "")


def outcome(value: object) -> tuple[str, str]:
    """Kind and word of an outcome. Yes and no, in all their spellings, read as success or not."""
    text = str(value).strip()
    truth = worded_truth(text)
    if truth is None:
        return "", words(text)
    resolved = text.lower() in {"resolved", "unresolved"}
    if truth:
        return "ok", "Resolved" if resolved else "Successful"
    return "bad", "Unresolved" if resolved else "Unsuccessful"


def sentiment_kind(value: str) -> str:
    """Return the class of a sentiment's dot."""
    return {"positive": "ok", "negative": "bad", "unknown": "mute"}.get(value.strip().lower(), "")


def segments(
    counts: Mapping[str, int], links: Mapping[str, str], *, legend: bool
) -> dict[str, object]:
    """Return places and widths in percent of the parts of a segmented bar, without empty parts.

    Each part is at least half a percent wide: one failure among 100,000 is visible.
    """
    total = sum(counts.values())
    parts: list[dict[str, object]] = []
    at = 0.0
    for name, count in counts.items():
        width = max(share(count, total), 0.5) if count else 0.0
        part = {"name": name, "label": words(name), "count": count, "href": links.get(name, "")}
        parts.append({**part, "x": f"{min(at, 99.5):.2f}", "width": f"{width:.2f}"})
        at += width
    spoken = ", ".join(f"{number(count)} {words(name).lower()}" for name, count in counts.items())
    return {"parts": parts, "total": total, "legend": legend, "spoken": spoken}
