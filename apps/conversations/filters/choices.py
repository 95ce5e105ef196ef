"""The values that a field is offered with, and how often each occurs.

Counts are of the newest conversations of the channel only: they are a hint next to a value, and
must cost the same in a table of a million.
"""

from dataclasses import dataclass
from typing import Any

from django.db.models import Count, F, Func, TextField, Value

from apps.agents.models import Agent
from apps.conversations.models import Attributes, Conversation

from .grammar import ValueKind
from .registry import Field

NEWEST = 20_000
MANY = 200
KEYS_FROM = 500


@dataclass(frozen=True, slots=True)
class ValueChoice:
    """One value of a field; ``count`` None where it is not counted."""

    value: str
    label: str
    count: int | None = None


def choices_of(field: Field, channel: str | None) -> list[ValueChoice]:
    """The field's values: all of a closed list, then others that occur, with their counts."""
    if field.name in {"agent", "transferred_to"}:
        return _agents(field, channel)
    counts = _counts(field, channel) if field.counted else {}
    labels = dict(field.choices)
    if field.kinds == (ValueKind.YES_NO,):
        labels = {"true": "Yes", "false": "No"}
    known = [ValueChoice(value, label, counts.pop(value, 0)) for value, label in labels.items()]
    if field.name == "analysis_config":
        return [ValueChoice(f"sha256:{sha}", str(sha)[:7], n) for sha, n in counts.items()]
    return known + [ValueChoice(value, value, count) for value, count in counts.items()]


def attribute_keys(channel: str | None) -> dict[str, list[str]]:
    """Keys of metadata (``metadata``) and variables (``var``) of the newest conversations."""
    newest = Attributes.objects.filter(conversation__in=_newest(channel, KEYS_FROM))
    found: dict[str, list[str]] = {}
    for group, column in (("metadata", "metadata"), ("var", "dynamic_variables")):
        keys = newest.annotate(key=Func(F(column), function="jsonb_object_keys"))
        found[group] = sorted(keys.order_by().values_list("key", flat=True).distinct()[:MANY])
    return found


def _agents(field: Field, channel: str | None) -> list[ValueChoice]:
    agents = Agent.objects.order_by("name", "pk")
    if channel and field.name == "agent":
        agents = agents.filter(channel=channel)
    counts = _counts(field, channel) if field.counted else None
    return [
        ValueChoice(public_id, name, None if counts is None else counts.get(public_id, 0))
        for public_id, name in agents.values_list("public_id", "name")[: MANY * 5]
    ]


def _newest(channel: str | None, limit: int) -> Any:
    rows = Conversation.objects.all()
    if channel:
        rows = rows.filter(channel=channel)
    return rows.order_by("-sort_at", "-pk").values("pk")[:limit]


def _counts(field: Field, channel: str | None) -> dict[str, int]:
    """Values that occur, the most frequent first."""
    rows = Conversation.objects.filter(pk__in=_newest(channel, NEWEST)).order_by()
    counted: F | Func = F(field.counted)
    if field.name.startswith("analysis."):
        path = Value(field.counted, output_field=TextField())
        counted = Func(
            F("analysis_data"),
            path,
            arg_joiner=" ->> ",
            template="(%(expressions)s)",
            output_field=TextField(),
        )
    grouped = rows.values_list(counted).annotate(n=Count("pk")).order_by("-n")
    return {_text(value): n for value, n in grouped[:MANY] if value not in {None, ""}}


def _text(value: object) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)
