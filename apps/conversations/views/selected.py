"""Actions on listed or selected conversations: CSV export, and the way to a rerun."""

from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
    QueryDict,
    StreamingHttpResponse,
)
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from apps.accounts.access import role_required
from apps.accounts.models import Role
from apps.conversations import exports
from apps.conversations.csv_lines import everything_lines, visible_lines
from apps.conversations.filters import FilterError, parse
from apps.conversations.history_list import columns_of
from apps.core.counts import count

from .filters import channel_of


@require_safe
@role_required(Role.OPERATOR)
def export(request: HttpRequest) -> HttpResponseBase:
    """Stream all that match as CSV: the visible columns, or everything (``content``).

    Many are exported in the background.
    """
    channel = channel_of(request)
    params = request.GET.copy()
    everything = params.get("content") == exports.EVERYTHING
    for name in ("channel", "cursor", "content"):
        params.pop(name, None)
    try:
        spec = parse(channel, params)
    except FilterError as error:
        return HttpResponse(error.message, status=error.status, content_type="text/plain")
    if not count(spec.queryset(), limit=exports.DIRECT_ROWS).exact:
        return HttpResponseRedirect(
            f"{reverse('conversations:export_new')}?{request.GET.urlencode()}"
        )
    lines = everything_lines(spec) if everything else visible_lines(spec, columns_of(spec))
    response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    name = exports.file_name(channel, timezone.now(), everything=everything)
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


@require_safe
@role_required(Role.OPERATOR)
def selected(request: HttpRequest) -> HttpResponse:
    """From ticked rows to the selected action: those ids, or all that match the page."""
    channel = channel_of(request)
    to = request.GET.get("to", "")
    page = QueryDict(request.GET.get("query", ""), mutable=True)
    page.pop("cursor", None)
    if request.GET.get("all_matching") == "1":
        chosen = page
    else:
        chosen = QueryDict(mutable=True)
        chosen.setlist("id", request.GET.getlist("id"))
        if not chosen.getlist("id"):
            raise Http404("Select at least one conversation.")
        if to in _EXPORTS:
            for name in ("sort", "columns"):
                if name in page:
                    chosen.setlist(name, page.getlist(name))
    if to == "export_everything":
        chosen["content"] = exports.EVERYTHING
    page_name = _ACTIONS.get(to, "runs:new")
    return HttpResponseRedirect(f"{reverse(page_name)}?channel={channel}&{chosen.urlencode()}")


_EXPORTS = {"export": "conversations:export", "export_everything": "conversations:export"}
_ACTIONS = {**_EXPORTS, "erase": "erasing:selected", "follow_up": "follow_ups:new"}
