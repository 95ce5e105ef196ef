"""The pieces of the filter editor: one row, and the form that a chip opens."""

from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from apps.accounts.access import role_required
from apps.accounts.models import Role
from apps.agents.models import Channel
from apps.conversations.filters import ConversationFields, FieldSource, RuleFields, editor
from apps.core.http import hx_trigger, render_either

PAGES = {Channel.VOICE: "conversations:calls", Channel.CHAT: "conversations:chats"}
EDITOR = {"channel", "edit", "n", "upright", "remove", "rule", "prefix"}
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
    source: FieldSource
    if "rule" in request.GET:  # of both channels where none is named
        channel = channel_of(request) if request.GET.get("channel") else ""
        source = RuleFields(channel or None)
    else:
        channel = channel_of(request)
        source = ConversationFields(channel)
    if "remove" in request.GET:
        return hx_trigger(HttpResponse(), **{"filters:changed": None})
    prefix = request.GET.get("prefix", "")[:40]
    form = editor.part_of(request.GET, prefix)
    number = request.GET.get("n", "")
    if number.isdecimal() and len(number) < 5:
        row = editor.row_of_form(source, form, int(number), prefix=prefix)
    else:
        row = editor.new_row(source, form, prefix=prefix)
    context = {"row": row, "channel": channel, "upright": "upright" in request.GET}
    response = render(request, "conversations/_filter_row.html", context)
    return hx_trigger(response, **{"filters:changed": None})


@require_GET
@role_required(Role.VIEWER)
def filter_edit(request: HttpRequest) -> HttpResponse:
    """Show the form that a chip opens: one filter of the page's query to change, or a new one."""
    channel = channel_of(request)
    edited = request.GET.get("edit", "")
    given = {name: values for name, values in request.GET.lists() if name not in EDITOR}
    if edited in given:
        row = editor.rows_of(ConversationFields(channel), {edited: given.pop(edited)})[0]
    else:
        row = editor.new_row(ConversationFields(channel), QueryDict())
    context = {
        "row": row,
        "channel": channel,
        "upright": True,
        "others": [(name, value) for name, values in given.items() for value in values],
        "action": reverse(PAGES[Channel(channel)]),
        "nav": "calls" if channel == Channel.VOICE else "chats",
    }
    return render_either(
        request,
        page="conversations/filter_edit.html",
        fragment="conversations/_filter_edit.html",
        context=context,
    )
