"""The pieces of the filter editor: one row, and the form that a chip opens."""

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from apps.accounts.access import role_required
from apps.accounts.models import Role
from apps.agents.models import Channel
from apps.conversations.filters import ConversationFields, editor, source_of
from apps.conversations.filters.chip_forms import chip_form
from apps.conversations.filters.rows import EditorRow
from apps.core.http import hx_trigger, render_either

PAGES = {Channel.VOICE: "conversations:calls", Channel.CHAT: "conversations:chats"}
EDITOR = {
    *("channel", "edit", "alternative", "n", "upright", "remove", "rule", "prefix", "add"),
}
"""Parameters of these two views, not of the filter that is edited."""


def channel_of(request: HttpRequest) -> str:
    """Return the channel that the URL names. Raises Http404 for another."""
    channel = request.GET.get("channel", "")
    if channel not in Channel.values:
        raise Http404("A filter is of calls (voice) or of chats (chat).")
    return channel


@require_GET
@role_required(Role.VIEWER)
def filter_row(request: HttpRequest) -> HttpResponse:
    """One row of the editor, redrawn for its new field or operator; a new one without ``n``."""
    rule = request.GET.get("rule", "")
    # Rules may be about both channels.
    either = rule and not request.GET.get("channel")
    channel = "" if either else channel_of(request)
    source = source_of(channel, rule)
    if "remove" in request.GET:
        return hx_trigger(HttpResponse(), **{"filters:changed": None})
    prefix = request.GET.get("prefix", "")[:40]
    form = editor.part_of(request.GET, prefix)
    number = request.GET.get("n", "")
    if number.isdecimal() and len(number) < 5:
        row = editor.row_of_form(source, form, int(number), prefix=prefix)
    else:
        row = editor.new_row(source, form, group=editor.added_to(form), prefix=prefix)
    response = _drawn(request, row, channel, alone=form.get("add") != editor.NEW_GROUP)
    return hx_trigger(response, **{"filters:changed": None})


def _drawn(request: HttpRequest, row: EditorRow, channel: str, *, alone: bool) -> HttpResponse:
    """Show a row, in a group of its own where a new group was asked for."""
    context = {
        "row": row,
        "channel": channel,
        "upright": "upright" in request.GET,
        "rule": request.GET.get("rule", ""),
        "prefix": row.prefix,
    }
    if alone or not row.group:
        return render(request, "conversations/_filter_row.html", context)
    context |= {"rows": [row], "group": row.group}
    return render(request, "conversations/_filter_group.html", context)


@require_GET
@role_required(Role.VIEWER)
def filter_edit(request: HttpRequest) -> HttpResponse:
    """Show the form that a chip opens: one filter of the page's query to change, or a new one."""
    channel = channel_of(request)
    context = {
        "chip": chip_form(ConversationFields(channel), request.GET, own=EDITOR),
        "edit_url": f"{reverse('conversations:filter_edit')}?channel={channel}",
        "channel": channel,
        "upright": True,
        "action": reverse(PAGES[Channel(channel)]),
        "nav": "calls" if channel == Channel.VOICE else "chats",
    }
    return render_either(
        request,
        page="conversations/filter_edit.html",
        fragment="conversations/_filter_edit.html",
        context=context,
    )
