"""Exports in the background: started, listed, downloaded, and canceled."""

from django.contrib import messages
from django.db.models import QuerySet
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    QueryDict,
    StreamingHttpResponse,
)
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from apps.accounts.access import role_required, user_of
from apps.accounts.actors import actor_of
from apps.accounts.models import Role
from apps.agents.models import Channel
from apps.conversations import exports
from apps.conversations.filters import FilterError, parse
from apps.conversations.models import Export
from apps.core.counts import count
from apps.core.http import render_either

from .filters import PAGES, channel_of

_ALL = 10**9


@require_safe
@role_required(Role.OPERATOR)
def export_list(request: HttpRequest) -> HttpResponse:
    """Show one's own exports; admins see those of all members."""
    found = list(_visible(request).select_related("owner").order_by("-created_at", "-pk")[:100])
    context = {
        "exports": found,
        "is_working": any(export.state == Export.State.RUNNING for export in found),
        "nav": "calls",
    }
    return render_either(
        request,
        page="conversations/export_list.html",
        fragment="conversations/_exports.html",
        context=context,
    )


@require_http_methods(["GET", "POST"])
@role_required(Role.OPERATOR)
def new(request: HttpRequest) -> HttpResponse:
    """Ask before a large export, with its number of rows, and start it."""
    channel = channel_of(request)
    params = request.GET
    everything = params.get("content") == exports.EVERYTHING
    try:
        spec = parse(channel, exports.filters_of(params))
    except FilterError as error:
        return HttpResponse(error.message, status=error.status, content_type="text/plain")
    if request.method == "POST":
        exports.start(
            channel=channel,
            params=params,
            everything=everything,
            owner=user_of(request),
            by=actor_of(request),
        )
        messages.success(request, "Export started.")
        return redirect("conversations:exports")
    context = {
        "rows": count(spec.queryset(), limit=_ALL).number,
        "channel": channel,
        "everything": everything,
        "days": exports.KEPT.days,
        "here": request.get_full_path(),
        "page_url": _page_url(channel, exports.filters_of(params)),
        "nav": "calls" if channel == Channel.VOICE else "chats",
    }
    return render_either(
        request,
        page="conversations/export_new.html",
        fragment="conversations/export_new.html",
        context=context,
    )


@require_safe
@role_required(Role.OPERATOR)
def file(request: HttpRequest, export_id: str) -> HttpResponseBase:
    """Stream the file of a finished export."""
    export = get_object_or_404(_visible(request), public_id=export_id)
    if export.state != Export.State.DONE:
        raise Http404("This export has no file.")
    chunks = exports.chunks_of(export)
    response = StreamingHttpResponse(chunks, content_type="text/csv; charset=utf-8")
    name = exports.file_name(export.channel, export.as_of, everything=export.everything)
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


@require_POST
@role_required(Role.OPERATOR)
def cancel(request: HttpRequest, export_id: str) -> HttpResponse:
    """Cancel a running export."""
    export = get_object_or_404(_visible(request), public_id=export_id)
    if exports.cancel(export=export, by=actor_of(request)):
        messages.success(request, "Export canceled.")
    else:
        messages.info(request, "This export has already ended.")
    return redirect("conversations:exports")


def _visible(request: HttpRequest) -> QuerySet[Export]:
    """Return the exports that this person can see: their own, or all for admins."""
    user = user_of(request)
    if user.effective_role == Role.ADMIN:
        return Export.objects.all()
    return Export.objects.filter(owner=user)


def _page_url(channel: str, params: QueryDict) -> str:
    return f"{reverse(PAGES[Channel(channel)])}?{params.urlencode()}".rstrip("?")
