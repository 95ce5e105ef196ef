"""Conversations that statistics are of: the period, the filter, and the clock of an address."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from hashlib import sha256
from typing import Any

from django.http import QueryDict
from django.urls import reverse
from django.utils import timezone

from apps.agents.models import Agent, Channel
from apps.conversations.filters import FilterSpec, parse
from apps.conversations.filters.grammar import GROUPS, IS, split_group, split_name
from apps.conversations.models import Conversation, ConversationQuerySet
from apps.core.errors import BadRequest

from .buckets import Bucket, Size, buckets_of
from .fields import Grouping, InsightField, groupings, insight_fields
from .periods import Period, read_period

Params = Mapping[str, list[str]]

OWN_PARAMETERS = ("channel", "days", "from", "to", "clock", "compare", "by")
"""Parameters of insights; all others are filters."""


class Clock(StrEnum):
    """By which of its times a conversation counts."""

    STARTED = "started"
    ANALYZED = "analyzed"

    @property
    def column(self) -> str:
        return "sort_at" if self == Clock.STARTED else "analyzed_at"

    @property
    def filter_name(self) -> str:
        return "time" if self == Clock.STARTED else "analyzed_at"


class BadScope(BadRequest):
    """Raised for a parameter of insights with an unknown value."""


@dataclass(frozen=True)
class Scope:
    """Conversations that statistics are of. ``channel`` None: both; ``by`` None: no breakdown."""

    channel: str | None
    period: Period
    spec: FilterSpec
    now: datetime
    clock: Clock = Clock.STARTED
    compare: bool = True
    by: Grouping | None = None
    size: Size | None = None

    @cached_property
    def buckets(self) -> tuple[Bucket, ...]:
        return buckets_of(self.period, now=self.now, size=self.size)

    @cached_property
    def agents(self) -> list[str]:
        """Return the public ids of the agents that the filter names; empty where it names none."""
        named = [c for c in self.spec.conditions if c.parameter == "agent"]
        return [value.strip() for condition in named for value in condition.values]

    @cached_property
    def fields(self) -> dict[str, InsightField]:
        """Return the fields that have statistics, by name, in the order of the page."""
        return insight_fields(self.channel, self._agent_rows())

    @property
    def previous(self) -> tuple[datetime, datetime]:
        """Return the period that this one is compared with."""
        return self.period.before(self.now)

    def rows(self, *, with_previous: bool = False) -> ConversationQuerySet:
        """Return the conversations of the period, and of the previous one where it is wanted."""
        column = self.clock.column
        start, end = self.period.start, self.period.end
        rows = self.spec.queryset()
        if not with_previous:
            return rows.filter(**{f"{column}__gte": start, f"{column}__lt": end})
        before, until = self.previous
        rows = rows.filter(**{f"{column}__gte": before, f"{column}__lt": end})
        if until < start:
            rows = rows.exclude(**{f"{column}__gte": until, f"{column}__lt": start})
        return rows

    def params(self, *more: Params, bucket: Bucket | None = None) -> dict[str, list[str]]:
        """Return the filter parameters of a part of the statistics: the filter, the time, ``more``.

        Where the filter already has such a parameter, that of the part goes to an OR group of its
        own, so that both apply.
        """
        found = dict(self.spec.as_params())
        of_filter = set(found)
        parts = [*self._time(bucket).items(), *(one for params in more for one in params.items())]
        for name, values in parts:
            if name not in of_filter or _is_narrower(name, values, found[name]):
                found[name] = values
            else:
                used = {split_group(parameter)[0] for parameter in found}
                free = next((group for group in GROUPS if group not in used), GROUPS[-1])
                found[f"{free}.{name}"] = values
        return found

    def url(self, *more: Params, bucket: Bucket | None = None) -> str:
        """Return the history page of the conversations of a part; empty over both channels."""
        if self.channel is None:
            return ""
        page = "calls" if self.channel == Channel.VOICE else "chats"
        return f"{reverse(f'conversations:{page}')}?{_query(self.params(*more, bucket=bucket))}"

    @property
    def query(self) -> str:
        """Return the scope as the query of an address of insights."""
        own: dict[str, list[str]] = {"channel": [self.channel]} if self.channel else {}
        if self.clock != Clock.STARTED:
            own["clock"] = [self.clock.value]
        if self.by:
            own["by"] = [self.by.name]
        return "&".join(
            part for part in (self.period.query, _query({**own, **self.spec.as_params()})) if part
        )

    @cached_property
    def key(self) -> str:
        """Name the scope in the cache. Bucket boundaries are part of it, as moments."""
        spec = repr((self.channel, self.spec.as_params(), self.clock.value, self.compare))
        by = self.by.name if self.by else ""
        ends = (self.buckets[0].size.value, len(self.buckets), self.now.strftime("%Y%m%d"))
        text = repr((spec, self.period.key, by, ends))
        return sha256(text.encode()).hexdigest()[:32]

    def _time(self, bucket: Bucket | None) -> dict[str, list[str]]:
        name = self.clock.filter_name
        return bucket.params(name) if bucket else {f"{name}__between": [self.period.between]}

    def _agent_rows(self) -> Any:
        return Agent.objects.filter(public_id__in=self.agents) if self.agents else None


def read_scope(
    params: QueryDict, *, now: datetime, channel: str | None = None, compare: str = "previous"
) -> Scope:
    """Read a scope from the parameters of an address.

    ``channel`` and ``compare`` are used where none is named. Raises BadPeriod, BadScope, and
    FilterError.
    """
    rest = params.copy()
    own = {name: rest.pop(name)[-1] for name in OWN_PARAMETERS if name in rest}
    channel = _one_of(own, "channel", Channel.values, channel or "") or None
    clock = Clock(_one_of(own, "clock", list(Clock), Clock.STARTED))
    compares = _one_of(own, "compare", ["previous", "none"], compare) == "previous"
    period = read_period(own, today=timezone.localdate(now))
    scope = Scope(channel, period, parse(channel, rest), now, clock, compares)
    if not own.get("by"):
        return scope
    known = groupings(channel, scope.fields)
    by = known.get(own["by"]) or known.get(f"analysis.{own['by']}")
    if by is None:
        raise BadScope(
            f"Statistics can’t be broken down by “{own['by'][:80]}”.", {"by": "Unknown."}
        )
    return Scope(channel, period, scope.spec, now, clock, compares, by)


def scope_of(channel: str, period: Period, filters: QueryDict, *, now: datetime) -> Scope:
    """Return the scope of filters over a period, compared with the one before.

    Raises FilterError.
    """
    return Scope(channel, period, parse(channel, filters), now)


def usual_channel(params: QueryDict) -> str:
    """Return the channel of a page that names none: the agent's, else that of most agents."""
    agents = Agent.objects.filter(public_id__in=params.getlist("agent")).order_by()
    named = agents.values_list("channel", flat=True).first()
    if named:
        return str(named)
    has_calls = Conversation.objects.filter(channel=Channel.VOICE).exists()
    has_chats = not has_calls and Conversation.objects.filter(channel=Channel.CHAT).exists()
    return Channel.CHAT.value if has_chats else Channel.VOICE.value


def _one_of(own: Mapping[str, str], name: str, allowed: Iterable[str], usual: str) -> str:
    value = own.get(name) or usual
    if value and value not in set(allowed):
        expected = ", ".join(allowed)
        raise BadScope(
            f"{name} must be one of {expected}, not “{value[:80]}”.", {name: f"One of {expected}."}
        )
    return value


def _is_narrower(name: str, values: list[str], given: list[str]) -> bool:
    """Return whether values of a parameter that means *any of* are among those of the filter."""
    return split_name(name)[1] in {IS, "contains"} and set(values) <= set(given)


def _query(params: Params) -> str:
    query = QueryDict(mutable=True)
    for name, values in params.items():
        query.setlist(name, values)
    return query.urlencode()
