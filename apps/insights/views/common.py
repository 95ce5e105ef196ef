"""What the pages of insights share: their scope, their controls, and their filters."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponseRedirect, QueryDict
from django.urls import reverse
from django.utils import timezone

from apps.agents.models import Agent, Channel
from apps.conversations.filters import ConversationFields, FilterError, editor
from apps.conversations.filters.labels import Chip, chips, refused_chips
from apps.conversations.filters.query_strings import plain_query
from apps.insights.fields import groupings
from apps.insights.periods import DAYS, BadPeriod, last_days
from apps.insights.scope import (
    OWN_PARAMETERS,
    BadScope,
    Clock,
    Scope,
    read_scope,
    usual_channel,
)
from apps.insights.tile_pages import with_readable_buckets

PAGE_PARAMETERS = ("field", "whole")
SLOT = "slot."
"""Begins the parameters that choose the field of a slot of a ready view."""
AGENTS = 40
"""Agents that the menu offers; others can be filtered by name."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One entry of a menu; ``query`` is the page's with this entry."""

    label: str
    query: str
    is_current: bool


@dataclass(slots=True)
class Asked:
    """What an address asks for. ``scope`` is None where it is invalid; ``errors`` say why."""

    params: QueryDict
    scope: Scope | None = None
    channel: str = Channel.VOICE
    errors: dict[str, str] = field(default_factory=dict)
    problem: str = ""
    field_name: str = ""
    slots: dict[str, str] = field(default_factory=dict)
    is_whole: bool = False

    @property
    def filters(self) -> QueryDict:
        """Return the filters alone."""
        found = QueryDict(mutable=True)
        for name, values in self.params.lists():
            if not _is_own(name):
                found.setlist(name, values)
        return found

    @property
    def query(self) -> str:
        """Return the whole address, without the parameters of a single tile."""
        return self.with_params()

    def with_params(self, **changed: str) -> str:
        """Return the query of the address with some parameters replaced; empty ones are dropped."""
        query = self.params.copy()
        query.pop("field", None)
        if {"days", "from", "to"} & changed.keys():
            for name in ("days", "from", "to"):
                query.pop(name, None)
        for name, value in changed.items():
            query.pop(name, None)
            if value:
                query[name] = value
        return query.urlencode()


def read_asked(request: HttpRequest, channel: str = "") -> Asked:
    """Read scope and page from the parameters of an address, with the reasons why not.

    ``channel`` is that of a page where the address names none.
    """
    params = request.GET.copy()
    asked = Asked(params)
    of_scope = params.copy()
    asked.field_name = of_scope.pop("field", [""])[-1]
    asked.is_whole = bool(of_scope.pop("whole", []))
    for name in [name for name in of_scope if name.startswith(SLOT)]:
        asked.slots[name.removeprefix(SLOT)] = of_scope.pop(name)[-1]
    asked.channel = channel or usual_channel(of_scope)
    if of_scope.get("channel") in Channel.values:
        asked.channel = str(of_scope["channel"])
    try:
        scope = read_scope(of_scope, now=timezone.now(), channel=asked.channel)
        asked.scope = with_readable_buckets(scope)
    except FilterError as error:
        asked.errors = dict(error.errors)
    except (BadPeriod, BadScope) as error:
        asked.problem = error.message
    return asked


def redirect_of_form(request: HttpRequest) -> HttpResponseRedirect | None:
    """Return where rows of the filter editor lead: to the same page with plain parameters."""
    if name := editor.half_chosen(request.GET):
        rest = editor.without_rows(request.GET)
        rest[name] = ""
        query = urlencode({"edit": name, "page": request.path})
        return HttpResponseRedirect(f"{reverse('insights:filter_edit')}?{query}&{rest.urlencode()}")
    plain = plain_query(request.GET)
    if plain is None:
        return None
    return HttpResponseRedirect(f"{request.path}?{plain.urlencode()}".rstrip("?"))


def frame_of(request: HttpRequest, asked: Asked) -> dict[str, Any]:
    """Return the context of the controls: menus, filters, and error messages."""
    own = {n: v for n, v in asked.params.lists() if _is_own(n)}
    return {
        "asked": asked,
        "scope": asked.scope,
        "page_url": request.path,
        "edit_url": f"{reverse('insights:filter_edit')}?{urlencode({'page': request.path})}",
        "query": asked.query,
        "chips": _chips(asked, own),
        "refused": bool(asked.errors),
        "refusals": [m for n, m in asked.errors.items() if n in {"q", "sort", "columns"}],
        "problem": asked.problem,
        "channels": _channels(asked),
        "periods": _periods(asked),
        "agents": _agents(asked),
        "breakdowns": _breakdowns(asked),
        "clocks": _clocks(asked),
        "others": [
            (n, v)
            for n, values in asked.params.lists()
            if n not in {"days", "from", "to", "field"}
            for v in values
        ],
        "tabs": _tabs(request, asked),
        "nav": "insights",
    }


def _is_own(name: str) -> bool:
    return name in OWN_PARAMETERS or name in PAGE_PARAMETERS or name.startswith(SLOT)


def _chips(asked: Asked, own: Mapping[str, list[str]]) -> list[Chip]:
    """Return the filters as chips; removing one keeps all other parameters."""
    others = urlencode({n: v for n, v in own.items() if n != "field"}, doseq=True)
    if asked.scope is not None:
        found = chips(asked.scope.spec)
    else:
        filters = {n: v for n, v in asked.params.lists() if not _is_own(n)}
        found = refused_chips(filters, asked.errors, ConversationFields(asked.channel))
    return [
        Chip(
            chip.parameter,
            chip.label,
            chip.operator,
            chip.values,
            "&".join(part for part in (others, chip.without) if part),
            chip.error,
        )
        for chip in found
    ]


def _channels(asked: Asked) -> list[Choice]:
    # The filters of one channel, an agent above all, mean nothing in the other.
    period = {n: asked.params[n] for n in ("days", "from", "to") if n in asked.params}
    return [
        Choice(label, urlencode({"channel": value, **period}), asked.channel == value)
        for value, label in ((Channel.VOICE, "Calls"), (Channel.CHAT, "Chats"))
    ]


def _periods(asked: Asked) -> list[Choice]:
    current = asked.scope.period if asked.scope else None
    today = timezone.localdate()
    return [
        Choice(
            last_days(days, today).label,
            asked.with_params(days=str(days)),
            current is not None and current.days == days,
        )
        for days in DAYS
    ]


def _agents(asked: Asked) -> list[Choice]:
    rows = Agent.objects.filter(channel=asked.channel).order_by("name")
    chosen = asked.params.getlist("agent")
    every = [Choice("All agents", asked.with_params(agent=""), not chosen)]
    return every + [
        Choice(name, asked.with_params(agent=public_id), chosen == [public_id])
        for public_id, name in rows.values_list("public_id", "name")[:AGENTS]
    ]


def _breakdowns(asked: Asked) -> list[Choice]:
    if asked.scope is None:
        return []
    current = asked.scope.by.name if asked.scope.by else ""
    known = groupings(asked.channel, asked.scope.fields)
    none = [Choice("No breakdown", asked.with_params(by=""), not current)]
    return none + [
        Choice(one.label, asked.with_params(by=one.name), one.name == current)
        for one in known.values()
    ]


def _clocks(asked: Asked) -> list[Choice]:
    current = asked.scope.clock if asked.scope else Clock.STARTED
    return [
        Choice("By start of the conversation", asked.with_params(clock=""), current == "started"),
        Choice(
            "By time of the analysis", asked.with_params(clock="analyzed"), current != "started"
        ),
    ]


def _tabs(request: HttpRequest, asked: Asked) -> list[Choice]:
    """Return the pages of insights; the address of each keeps period and filters."""
    query = QueryDict(mutable=True)
    for name, values in asked.params.lists():
        if name not in {"field", "whole", "by"} and not name.startswith(SLOT):
            query.setlist(name, values)
    suffix = f"?{query.urlencode()}" if query else ""
    return [
        Choice(label, f"{reverse(f'insights:{name}')}{suffix}", request.path == reverse(url))
        for name, label in TABS
        for url in [f"insights:{name}"]
    ]


TABS = (
    ("overview", "Overview"),
    ("customer_success", "Customer success"),
    ("sales", "Sales pipeline"),
    ("quality", "Quality"),
)
