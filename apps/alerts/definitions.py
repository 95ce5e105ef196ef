"""The settings of a rule, and their validation."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db.models import Q

from apps.accounts.models import User
from apps.agents.models import Agent
from apps.core.addresses import url_problem
from apps.core.errors import Example, UserError

from .conditions import normal_condition, watched
from .models import AlertRule, ChannelKind, Direction, Kind, NoData

NAME_LENGTH = 100
MOST_ADDRESSES = 50
MOST = {
    "window_hours": (1, 720),
    "min_conversations": (0, 1_000_000),
    "for_minutes": (0, 10_080),
    "remind_hours": (0, 720),
    "quiet_hours": (1, 720),
}
"""The smallest and the largest of each whole number."""


class InvalidRule(UserError):
    """Raised where a rule can't be saved as asked; ``fields`` names the settings."""

    code = "invalid_alert_rule"
    example = Example(
        "recover_above must be at least below (0.8), not 0.7.",
        {"recover_above": "Must be at least 0.8."},
    )


@dataclass(frozen=True, slots=True)
class Definition:
    """The settings of a rule, as its columns hold them.

    ``channels`` are the URLs to set by kind, None to remove one; kinds that are left out stay.
    """

    name: str
    kind: str
    channel: str
    agent: Agent | None = None
    per_agent: bool = False
    condition: Mapping[str, Any] | None = None
    field: str = ""
    field_value: Any = None
    include_reruns: bool = False
    quiet_hours: int = 24
    direction: str = ""
    threshold: float | None = None
    recovery: float | None = None
    window_hours: int = 24
    min_conversations: int = 20
    for_minutes: int = 0
    no_data: str = NoData.KEEP.value
    members: Sequence[User] = ()
    addresses: Sequence[str] = ()
    channels: Mapping[str, str | None] = dataclasses.field(default_factory=dict)
    remind_hours: int = 0


WATCHED = (
    "kind", "channel", "agent_id", "per_agent", "condition", "field", "field_value",
    "include_reruns", "quiet_hours", "direction", "threshold", "recovery", "window_hours",
    "min_conversations", "for_minutes", "no_data",
)  # fmt: skip
"""Columns that say what a rule watches: changing one of them resets the rule."""
_PLAIN = ("name", "addresses", "remind_hours")


def apply(rule: AlertRule, wanted: Definition, *, named: bool = True) -> AlertRule:
    """Put checked settings on a rule. ``named``: whether it must have a name of its own.

    Raise InvalidRule, or FilterError for a condition that can't be read.
    """
    check(wanted, rule.pk, named=named)
    rule.agent = wanted.agent
    for name in (*WATCHED, *_PLAIN):
        if name != "agent_id":
            setattr(rule, name, getattr(wanted, name))
    rule.name = wanted.name.strip()
    rule.addresses = list(wanted.addresses)
    rule.per_agent = wanted.per_agent and wanted.agent is None
    if rule.kind == Kind.RESULT:
        rule.direction, rule.threshold, rule.recovery = "", None, None
    watched(rule)
    rule.condition = normal_condition(rule)
    return rule


def check(wanted: Definition, rule_pk: int | None, *, named: bool) -> None:
    """Raise InvalidRule with a message for each invalid setting."""
    found: dict[str, str] = {}
    name = wanted.name.strip()
    if not named:
        pass
    elif not name or len(name) > NAME_LENGTH or "\0" in name:
        found["name"] = f"Enter a name of at most {NAME_LENGTH} characters."
    elif AlertRule.objects.filter(~Q(pk=rule_pk), name=name).exists():
        found["name"] = "Another rule has this name."
    if wanted.agent and wanted.agent.channel != wanted.channel:
        found["channel"] = f"{wanted.agent.name} isn’t an agent of this channel."
    for setting, (low, high) in MOST.items():
        if not low <= getattr(wanted, setting) <= high:
            found[setting] = f"Must be from {low:,} to {high:,}."
    found |= _numbers(wanted) if wanted.kind != Kind.RESULT else {}
    if wanted.kind == Kind.RESULT and wanted.condition is None:
        found["when"] = "Add at least one condition."
    found |= _recipients(wanted)
    if found:
        first = next(iter(found))
        raise InvalidRule(f"{first}: {found[first]}", found)


def _numbers(wanted: Definition) -> dict[str, str]:
    """Return the problems of the numbers and the field of a rule over a window."""
    found = _limits(wanted)
    if wanted.kind == Kind.AVERAGE and not wanted.field:
        found["field"] = "Choose a field."
    if wanted.kind == Kind.RATE and wanted.condition is None:
        if not wanted.field:
            found["field"] = "Choose a field, or add conditions."
        elif wanted.field_value in (None, "") or isinstance(wanted.field_value, list | dict):
            found["value"] = "Enter one value."
    return found


def _limits(wanted: Definition) -> dict[str, str]:
    """Return the problems of the threshold and the recovery."""
    limits = [v for v in (wanted.threshold, wanted.recovery) if v is not None]
    threshold, recovery = wanted.threshold, wanted.recovery
    if threshold is None or wanted.direction not in Direction.values:
        return {"threshold": "Enter a number."}
    if not all(math.isfinite(value) for value in limits):
        return {"threshold": "Enter a number."}
    if wanted.kind == Kind.RATE and not all(0 <= value <= 1 for value in limits):
        return {"threshold": "A rate is from 0% to 100%. In the API, 100% is 1."}
    if recovery is None:
        return {}
    if wanted.direction == Direction.BELOW and recovery < threshold:
        return {"recovery": "Must be at least the threshold."}
    if wanted.direction == Direction.ABOVE and recovery > threshold:
        return {"recovery": "Must be at most the threshold."}
    return {}


def _recipients(wanted: Definition) -> dict[str, str]:
    """Return the problems of addresses and URLs."""
    found: dict[str, str] = {}
    if len(wanted.addresses) > MOST_ADDRESSES:
        found["addresses"] = f"The maximum is {MOST_ADDRESSES} addresses."
    for address in wanted.addresses:
        try:
            validate_email(address)
        except ValidationError:
            found["addresses"] = f"“{address[:80]}” isn’t a valid email address."
            break
    for kind, url in wanted.channels.items():
        if kind not in ChannelKind.values:
            found[kind[:40]] = f"Unknown channel “{kind[:40]}”."
        elif url is not None and (problem := url_problem(url)):
            found[kind] = problem
    return found
