"""Rules and incidents in words: the same on pages, in mails, and in webhooks."""

from apps.conversations.filters import FilterError
from apps.core.display import NOTHING, duration, number, timespan

from .conditions import condition_words, field_of, text_of
from .models import AlertRule, Direction, Kind


def value_text(rule: AlertRule, value: float | None) -> str:
    """Return a value as people read it: `76.5%` for a rate, `3:41` for an average duration."""
    if value is None:
        return NOTHING
    if is_duration(rule):
        return duration(value)
    if rule.kind == Kind.RATE:
        return f"{value * 100:.1f}".removesuffix(".0") + "%"
    return number(round(value, 2))


def is_duration(rule: AlertRule) -> bool:
    """Return whether the rule's values are milliseconds, which people read and write as time."""
    return rule.kind == Kind.AVERAGE and rule.field == "duration_ms"


def condition_text(rule: AlertRule) -> str:
    """Return when the rule alerts, as one line."""
    try:
        return _text(rule)
    except FilterError as error:
        return error.message


def _text(rule: AlertRule) -> str:
    words = condition_words(rule)
    if rule.kind == Kind.RESULT:
        return words
    subject = {
        Kind.RATE: lambda: f"Share of {words or _field_value(rule)}",
        Kind.AVERAGE: lambda: f"Average {field_of(rule).label}",
        Kind.COUNT: lambda: f"Conversations{f' with {words}' if words else ''}",
    }[Kind(rule.kind)]()
    side = Direction(rule.direction).label.lower()
    limit = value_text(rule, rule.threshold)
    return f"{subject} {side} {limit} over {timespan(rule.window)}"


def _field_value(rule: AlertRule) -> str:
    value = {"true": "yes", "false": "no"}.get(text_of(rule.field_value), str(rule.field_value))
    return f"{field_of(rule).label} is {value}"
