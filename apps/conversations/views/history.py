"""Call History and Chat History: what matches, page by page; the URL holds all of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from apps.accounts.access import role_required
from apps.accounts.models import Role
from apps.agents.models import Channel
from apps.conversations import history_list
from apps.conversations.filters import (
    ConversationFields,
    FilterError,
    FilterSpec,
    editor,
    parse,
)
from apps.conversations.filters.labels import chips, refused_chips
from apps.conversations.filters.query_strings import other_params, plain_query, without
from apps.conversations.models import Conversation
from apps.core.counts import Count
from apps.core.counts import count as counted
from apps.core.http import render_either
from apps.core.pagination import CursorError

from .filters import PAGES, channel_of


@require_safe
@role_required(Role.VIEWER)
def calls(request: HttpRequest) -> HttpResponse:
    """Call History."""
    return _history(request, Channel.VOICE)


@require_safe
@role_required(Role.VIEWER)
def chats(request: HttpRequest) -> HttpResponse:
    """Chat History."""
    return _history(request, Channel.CHAT)


def _history(request: HttpRequest, channel: Channel) -> HttpResponse:
    if name := editor.half_chosen(request.GET):
        return HttpResponseRedirect(_editor_of(name, channel, request.GET))
    if (plain := plain_query(request.GET)) is not None:
        return HttpResponseRedirect(f"{request.path}?{plain.urlencode()}".rstrip("?"))
    params = request.GET.copy()
    cursor = params.pop("cursor", [""])[-1]
    try:
        context = _listed(parse(channel, params), cursor)
    except FilterError as error:
        context = _refused(channel, params, error)
    except CursorError:
        return HttpResponseRedirect(f"{request.path}?{params.urlencode()}".rstrip("?"))
    context |= {
        "channel": channel.value,
        "page_url": request.path,
        "edit_url": f"{reverse('conversations:filter_edit')}?channel={channel.value}",
        "query": params.urlencode(),
        "without_search": without(params, "q").urlencode(),
        "custom_period": custom_period(params),
        "others": other_params(params, leave_out=()),
        "searched": params.get("q", ""),
        "periods": (menu := periods(params)),
        "period": next((entry.label for entry in menu if entry.current), "Custom dates"),
        "word": "call" if channel == Channel.VOICE else "chat",
    }
    return render_either(
        request,
        page="conversations/conversation_list.html",
        fragment="conversations/_results.html",
        context=context,
    )


def _editor_of(name: str, channel: Channel, query: QueryDict) -> str:
    """The editor of a field that was chosen without script, where its values can be given."""
    rest = editor.without_rows(query)
    rest[name] = ""
    asked = QueryDict(mutable=True)
    asked["channel"], asked["edit"] = channel.value, name
    return f"{reverse('conversations:filter_edit')}?{asked.urlencode()}&{rest.urlencode()}"


def _listed(spec: FilterSpec, cursor: str) -> dict[str, object]:
    columns = history_list.columns_of(spec)
    page = history_list.page_of(spec, columns, cursor or None)
    matching, everything = history_list.counts_beside(spec, page)
    return {
        "columns": columns,
        "conversations": page.items,
        "next_cursor": page.next_cursor,
        "previous_cursor": page.previous_cursor,
        "matching": matching,
        "everything": everything,
        "chips": chips(spec),
    }


def _refused(channel: str, params: QueryDict, error: FilterError) -> dict[str, object]:
    """List nothing, and show each mistake at its filter."""
    given: Mapping[str, list[str]] = dict(params.lists())
    everything = counted(Conversation.objects.filter(channel=channel))
    loose = [error.errors[name] for name in ("q", "sort", "columns") if name in error.errors]
    return {
        "columns": (),
        "conversations": (),
        "matching": Count(0, exact=True),
        "everything": everything,
        "chips": refused_chips(given, error.errors, ConversationFields(channel)),
        "refusals": loose,
        "refused": True,
    }


def custom_period(params: QueryDict) -> tuple[str, str] | None:
    """Return the ends of a typed period, where the URL has one."""
    if "started_at__between" not in params:
        return None
    low, _, high = params.get("started_at__between", "").partition(",")
    return low, high


@dataclass(frozen=True, slots=True)
class DateRange:
    """One entry of the date menu; ``query`` is the page's with this period."""

    label: str
    query: str
    current: bool


def periods(params: QueryDict) -> list[DateRange]:
    """Today and the last days, by the start; any time where nothing is asked."""
    today = timezone.localdate()
    asked = {name: v for name, v in params.lists() if name.partition("__")[0] == "started_at"}
    rest = params.copy()
    for name in asked:
        rest.pop(name)
    entries = [DateRange("Any time", rest.urlencode(), not asked)]
    for label, days in (("Today", 1), ("Last 7 days", 7), ("Last 30 days", 30), _QUARTER):
        since = {"started_at__gte": [(today - timedelta(days=days - 1)).isoformat()]}
        query = rest.copy()
        query.setlist("started_at__gte", since["started_at__gte"])
        entries.append(DateRange(label, query.urlencode(), asked == since))
    return entries


_QUARTER = ("Last 90 days", 90)


_ALL = 10**9


@require_safe
@role_required(Role.VIEWER)
def count(request: HttpRequest) -> HttpResponse:
    """Show the exact numbers, asked for where the page's own stopped counting."""
    channel = channel_of(request)
    params = request.GET.copy()
    for name in ("channel", "cursor"):
        params.pop(name, None)
    try:
        matching, everything = history_list.counts(parse(channel, params), limit=_ALL)
    except FilterError:
        matching = Count(0, exact=True)
        everything = counted(Conversation.objects.filter(channel=channel), limit=_ALL)
    context = {"matching": matching, "everything": everything}
    return render(request, "conversations/_count.html", context)


@require_safe
@role_required(Role.VIEWER)
def columns(request: HttpRequest) -> HttpResponse:
    """Show the column chooser."""
    channel = channel_of(request)
    params = request.GET.copy()
    params.pop("channel")
    try:
        shown = [field.name for field in history_list.columns_of(parse(channel, params))]
    except FilterError:
        shown = history_list.default_columns(channel)
    context = {
        "groups": ConversationFields(channel).groups(),
        "shown": shown,
        "others": other_params(params, leave_out=("columns", "cursor")),
        "page_url": reverse(PAGES[Channel(channel)]),
        "channel": channel,
        "nav": "calls" if channel == Channel.VOICE else "chats",
    }
    return render_either(
        request,
        page="conversations/columns.html",
        fragment="conversations/_columns.html",
        context=context,
    )
