"""The dashboard of insights: a tile per field, each loaded on its own."""

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.views.decorators.http import require_GET, require_safe

from apps.accounts.access import role_required
from apps.accounts.models import Role
from apps.conversations.filters import ConversationFields
from apps.conversations.filters.chip_forms import chip_form
from apps.conversations.models import Conversation
from apps.core.http import render_either
from apps.insights.fields import FieldType, InsightField
from apps.insights.scope import Scope
from apps.insights.tile_pages import TilePage, field_tile, tile_id, volume_tile

from .common import TABS, Asked, frame_of, read_asked, redirect_of_form

EDITOR = {"edit", "alternative", "n", "upright", "remove", "page"}
"""Parameters of the filter editor, not of the filter that is edited."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a tile will be; ``html`` is its content where the page is shown whole."""

    id: str
    label: str
    url: str
    html: str = ""


@require_safe
@role_required(Role.VIEWER)
def overview(request: HttpRequest) -> HttpResponse:
    """Show volume, and what the agents' fields say, without any setup."""
    if redirect := redirect_of_form(request):
        return redirect
    asked = read_asked(request)
    context = frame_of(request, asked)
    if asked.scope is not None:
        fields = list(asked.scope.fields.values())
        slots = _slots(request, asked, asked.scope, (f for f in fields if f.type != FieldType.TEXT))
        context |= {
            "slots": [_volume_slot(request, asked, asked.scope), *slots],
            "texts": _slots(
                request, asked, asked.scope, (f for f in fields if f.type == FieldType.TEXT)
            ),
            "is_empty": not Conversation.objects.filter(channel=asked.channel).exists(),
        }
    return render_either(
        request,
        page="insights/overview.html",
        fragment="insights/_overview.html",
        context=context,
    )


@require_safe
@role_required(Role.VIEWER)
def tile(request: HttpRequest) -> HttpResponse:
    """Show the statistics of one field, or of the volume where none is named."""
    asked = read_asked(request)
    context = frame_of(request, asked)
    context["dashboard"] = f"{reverse('insights:overview')}?{asked.query}"
    template = "insights/tiles/_problem.html"
    if asked.scope is not None:
        context["tile"] = found = _tile(asked.scope, asked.field_name)
        template = found.template
    context["template"] = template
    return render_either(request, page="insights/tile.html", fragment=template, context=context)


def _tile(scope: Scope, name: str) -> TilePage:
    if not name:
        return volume_tile(scope)
    if name not in scope.fields:
        raise Http404("Unknown field.")
    return field_tile(scope, scope.fields[name])


@require_GET
@role_required(Role.VIEWER)
def filter_edit(request: HttpRequest) -> HttpResponse:
    """Show the form that a chip of insights opens: one filter to change, or a new one."""
    page = request.GET.get("page", "")
    if page not in {reverse(f"insights:{name}") for name, _ in TABS}:
        page = reverse("insights:overview")
    source = ConversationFields(read_asked(request).channel)
    context = {
        "chip": chip_form(source, request.GET, own=EDITOR),
        "edit_url": f"{reverse('insights:filter_edit')}?{urlencode({'page': page})}",
        "channel": source.channel,
        "upright": True,
        "action": page,
        "nav": "insights",
    }
    return render_either(
        request,
        page="insights/filter_edit.html",
        fragment="conversations/_filter_edit.html",
        context=context,
    )


def _volume_slot(request: HttpRequest, asked: Asked, scope: Scope) -> Placed:
    url = f"{reverse('insights:tile')}?{asked.with_params(whole='')}"
    html = _drawn(request, volume_tile(scope)) if asked.is_whole else ""
    return Placed("tile-volume", "Volume", url, html)


def _slots(
    request: HttpRequest, asked: Asked, scope: Scope, fields: Iterable[InsightField]
) -> list[Placed]:
    return [
        Placed(
            tile_id(one.name),
            one.label,
            f"{reverse('insights:tile')}?{asked.with_params(field=one.name, whole='')}",
            _drawn(request, field_tile(scope, one)) if asked.is_whole else "",
        )
        for one in fields
    ]


def _drawn(request: HttpRequest, tile: TilePage) -> str:
    return render_to_string(tile.template, {"tile": tile}, request)
