"""Alert rules and their previews."""

from typing import Annotated, Any, Self

from pydantic import Field

from apps.agents.models import Agent, Channel
from apps.alerts.definitions import MOST, InvalidRule
from apps.alerts.models import (
    AlertRule,
    ChannelKind,
    Direction,
    Kind,
    NoData,
    RuleState,
)
from apps.alerts.preview import PastIncident, Preview
from apps.alerts.services import state_of
from apps.alerts.wording import condition_text
from apps.core.schemas import Body, Choice, Count, Schema, Time, WholeNumber, eg

from . import examples
from .common import Email, Page

Document = dict[str, Any]
_RATE = {
    "field": "call_successful",
    "value": True,
    "below": 0.8,
    "recover_above": 0.83,
    "window_hours": 24,
    "min_conversations": 20,
    "for_minutes": 30,
    "no_data": "keep",
}


class _AlertBody(Body):
    missing = InvalidRule
    invalid = InvalidRule
    wrong_type = InvalidRule


class ScopeIn(_AlertBody):
    """Which conversations a rule is about."""

    agent_id: str | None = None
    channel: Annotated[Channel, Choice] | None = None
    """Default: that of the agent, else `voice`."""
    per_agent: bool = False
    """Whether each agent has its own state and incident."""


class WindowIn(_AlertBody):
    """A number over a window, and when it is bad. Give either `below` or `above`."""

    field: Annotated[str, Field(max_length=200)] = ""
    """An analysis field. A count has none."""
    value: bool | int | float | str | None = None
    """Of a rate: the value that is counted."""
    when: Document | None = None
    """Of a rate or count: the conditions of the conversations that are counted."""
    below: float | None = None
    above: float | None = None
    recover_above: float | None = None
    """Default: the threshold."""
    recover_below: float | None = None
    window_hours: Annotated[int, WholeNumber(*MOST["window_hours"])] = 24
    min_conversations: Annotated[int, WholeNumber(*MOST["min_conversations"])] = 20
    """With fewer conversations in the window there is no data."""
    for_minutes: Annotated[int, WholeNumber(*MOST["for_minutes"])] = 0
    """How long it must be bad before it fires."""
    no_data: Annotated[NoData, Choice] = NoData.KEEP

    def settings(self) -> dict[str, Any]:
        """Return the settings of a definition. Raise InvalidRule."""
        if (self.below is None) == (self.above is None):
            raise InvalidRule("Give either below or above.", {"below": "Give one of the two."})
        below = self.below is not None
        if (self.recover_below if below else self.recover_above) is not None:
            name = "recover_below" if below else "recover_above"
            message = f"{name} doesn’t fit. Use the other one."
            raise InvalidRule(message, {name: message})
        return {
            "field": self.field.replace("\0", ""),
            "field_value": self.value,
            "condition": self.when,
            "direction": Direction.BELOW.value if below else Direction.ABOVE.value,
            "threshold": self.below if below else self.above,
            "recovery": self.recover_above if below else self.recover_below,
            "window_hours": self.window_hours,
            "min_conversations": self.min_conversations,
            "for_minutes": self.for_minutes,
            "no_data": self.no_data.value,
        }


class NotifyIn(_AlertBody):
    """Who is notified. URLs of Slack and Teams are never returned: null removes one."""

    members: list[Email] = []
    """Email addresses of members."""
    emails: list[Email] = []
    slack: Annotated[str, Field(max_length=2000)] | None = None
    teams: Annotated[str, Field(max_length=2000)] | None = None
    remind_hours: Annotated[int, WholeNumber(*MOST["remind_hours"])] = 0
    """How often to remind of an open incident that no one acknowledged; 0: never."""

    def channels(self) -> dict[str, str | None]:
        """Return the channels that were sent, by kind."""
        return {kind: value for kind, value in self.given().items() if kind in ChannelKind.values}


class RuleIn(_AlertBody):
    """A rule: exactly one of `when`, `rate`, `average`, and `count`."""

    example = {"name": "Success rate", "scope": {"agent_id": None}, "rate": _RATE}

    name: Annotated[str, Field(max_length=100)]
    scope: ScopeIn = ScopeIn()
    when: Document | None = None
    """Conditions of a single result. `any` and `all` nest."""
    rate: WindowIn | None = None
    average: WindowIn | None = None
    count: WindowIn | None = None
    include_reruns: bool = False
    """Of single results: whether to look at reruns and backfills, too."""
    close_after_hours: Annotated[int, WholeNumber(*MOST["quiet_hours"])] = 24
    """Of single results: an incident closes after this many hours without a match."""
    notify: NotifyIn = NotifyIn()

    def kind(self) -> Kind:
        """Return what the rule watches. Raise InvalidRule where that isn't one thing."""
        kinds = {"when": Kind.RESULT, "rate": Kind.RATE, "average": Kind.AVERAGE,
                 "count": Kind.COUNT}  # fmt: skip
        found = [kind for name, kind in kinds.items() if getattr(self, name) is not None]
        if len(found) != 1:
            message = "Give exactly one of when, rate, average, and count."
            raise InvalidRule(message, {"when": message})
        return found[0]

    def watched(self, agent: Agent | None) -> dict[str, Any]:
        """Return the settings of the watched part."""
        kind = self.kind()
        window = {Kind.RATE: self.rate, Kind.AVERAGE: self.average, Kind.COUNT: self.count}
        found = window.get(kind)
        channel = self.scope.channel or (agent.channel if agent else Channel.VOICE)
        return {
            "kind": kind.value,
            "channel": str(channel),
            "agent": agent,
            "per_agent": self.scope.per_agent,
            "condition": self.when,
            "include_reruns": self.include_reruns,
            "quiet_hours": self.close_after_hours,
            **(found.settings() if found else {}),
        }


class PreviewIn(RuleIn):
    """A rule that isn't saved. Recipients don't matter."""

    example = {"scope": {"agent_id": None}, "rate": _RATE}

    name: Annotated[str, Field(max_length=100)] = ""


class RulePatch(_AlertBody):
    """Changes of a rule. Left out keys stay. The watched part is replaced as a whole: send
    `scope` and one of `when`, `rate`, `average`, and `count` together."""

    example = {"notify": {"members": [], "emails": ["lead@example.com"]}}

    name: Annotated[str, Field(max_length=100)] | None = None
    scope: ScopeIn | None = None
    when: Document | None = None
    rate: WindowIn | None = None
    average: WindowIn | None = None
    count: WindowIn | None = None
    include_reruns: bool | None = None
    close_after_hours: Annotated[int, WholeNumber(*MOST["quiet_hours"])] | None = None
    notify: NotifyIn | None = None
    paused: bool | None = None

    def replaced(self) -> RuleIn | None:
        """Return the watched part, where it is sent."""
        names = ("scope", "when", "rate", "average", "count", "include_reruns",
                 "close_after_hours")  # fmt: skip
        sent = {n: v for n, v in self.given().items() if n in names and v is not None}
        if not sent:
            return None
        return RuleIn.model_construct(name="", **sent)


class NotificationTarget(Schema):
    """A Slack or Teams channel, without its URL."""

    kind: Annotated[ChannelKind, eg("slack")]
    host: Annotated[str, eg("hooks.slack.com")]


class Notifications(Schema):
    """Who is notified."""

    members: Annotated[list[str], eg(["ada@example.com"])]
    emails: Annotated[list[str], eg(["lead@example.com"])]
    channels: list[NotificationTarget]
    remind_hours: Count


class RuleScope(Schema):
    """Which conversations a rule is about."""

    agent_id: str | None
    channel: Annotated[Channel, eg("voice")]
    per_agent: bool


class AlertRuleSchema(Schema):
    """A rule. Of `when`, `rate`, `average`, and `count` one isn't null."""

    id: Annotated[str, eg(examples.RULE_ID)]
    name: Annotated[str, eg("Success rate")]
    text: Annotated[str, eg("Share of Call successful is yes below 80% over 1d")]
    """When it alerts, in words."""
    scope: RuleScope
    when: Document | None
    rate: Annotated[Document | None, eg(_RATE)]
    average: Document | None
    count: Document | None
    include_reruns: bool
    close_after_hours: Annotated[Count, eg(24)]
    notify: Notifications
    state: Annotated[RuleState, eg("normal")]
    """The worst one, where agents have their own."""
    problem: str | None
    """Why it can't be evaluated, such as a deleted field."""
    paused: bool
    open_incidents: Count
    evaluated_until: Time | None
    """The end of the last window."""
    created_by: Annotated[str, eg("Ada Lovelace")]
    created_at: Annotated[Time, eg("2025-01-10T08:00:00Z")]
    updated_at: Annotated[Time, eg("2025-01-10T08:00:00Z")]

    @classmethod
    def from_rule(cls, rule: AlertRule) -> Self:
        """Return a rule."""
        windows = dict.fromkeys(("rate", "average", "count"))
        if rule.kind != Kind.RESULT:
            windows[rule.kind] = _window(rule)
        return cls(
            id=rule.public_id,
            name=rule.name,
            text=condition_text(rule),
            scope=RuleScope(
                agent_id=rule.agent.public_id if rule.agent else None,
                channel=Channel(rule.channel),
                per_agent=rule.per_agent,
            ),
            when=rule.condition if rule.kind == Kind.RESULT else None,
            include_reruns=rule.include_reruns,
            close_after_hours=rule.quiet_hours,
            notify=_notify(rule),
            state=state_of(rule),
            problem=rule.problem or None,
            paused=rule.is_paused,
            open_incidents=rule.incidents.open().count(),
            evaluated_until=rule.evaluated_until,
            created_by=rule.created_by,
            created_at=rule.created_at,
            updated_at=rule.updated_at,
            **windows,
        )


def _window(rule: AlertRule) -> Document:
    below = rule.direction == Direction.BELOW
    found: Document = {"below" if below else "above": rule.threshold}
    if rule.recovery is not None:
        found["recover_above" if below else "recover_below"] = rule.recovery
    if rule.condition is not None:
        found["when"] = rule.condition
    if rule.field:
        found["field"] = rule.field
    if rule.field_value is not None:
        found["value"] = rule.field_value
    return found | {
        "window_hours": rule.window_hours,
        "min_conversations": rule.min_conversations,
        "for_minutes": rule.for_minutes,
        "no_data": rule.no_data,
    }


def _notify(rule: AlertRule) -> Notifications:
    return Notifications(
        members=[member.email or member.username for member in rule.members.order_by("pk")],
        emails=list(rule.addresses),
        channels=[
            NotificationTarget(kind=ChannelKind(one.kind), host=one.host)
            for one in rule.channels.all()
        ],
        remind_hours=rule.remind_hours,
    )


class PastIncidentSchema(Schema):
    """An incident that would have been."""

    agent_id: str | None
    started_at: Annotated[Time, eg("2025-01-18T15:30:00Z")]
    ended_at: Time | None
    """Null where it would be open now."""
    value: float | None
    conversations: Annotated[Count, eg(24)]

    @classmethod
    def from_incident(cls, one: PastIncident) -> Self:
        """Return an incident of a preview."""
        return cls(
            agent_id=one.agent.public_id if one.agent else None,
            started_at=one.start,
            ended_at=one.end,
            value=one.value,
            conversations=one.conversations,
        )


class AlertPreview(Schema):
    """When a rule would have fired, by today's results."""

    start: Annotated[Time, eg("2024-12-19T15:30:00Z")]
    end: Annotated[Time, eg("2025-01-18T15:30:00Z")]
    conversations: Annotated[Count, eg(1240)]
    """Conversations that were counted."""
    matched: Count
    incidents: list[PastIncidentSchema]

    @classmethod
    def from_preview(cls, drawn: Preview) -> Self:
        """Return a preview."""
        return cls(
            start=drawn.start,
            end=drawn.end,
            conversations=drawn.conversations,
            matched=drawn.matched,
            incidents=[PastIncidentSchema.from_incident(one) for one in drawn.incidents],
        )


class Rules(Page[AlertRuleSchema]):
    """One page of rules."""
