"""Saved views of the history pages: the menu that opens them, and their forms."""

from dataclasses import dataclass
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from apps.accounts.access import role_required, user_of
from apps.accounts.actors import actor_of
from apps.accounts.models import Role
from apps.accounts.responses import done, posted
from apps.agents.models import Channel
from apps.conversations import saved_views
from apps.conversations.models import SavedView
from apps.conversations.saved_view_forms import SavedViewForm
from apps.core.errors import UserError
from apps.core.http import render_dialog, render_either, varies_by_htmx

from .filters import PAGES, channel_of

CHANGED = "saved_views:changed"


@dataclass(frozen=True, slots=True)
class ViewLine:
    """A view in the menu: where it opens, and whether it is the page that is open."""

    view: SavedView
    url: str
    is_open: bool
    own: bool
    may_edit: bool


@require_safe
@role_required(Role.VIEWER)
def saved(request: HttpRequest) -> HttpResponse:
    """Show the views of calls or of chats: a menu for htmx, a page without."""
    channel, user = channel_of(request), user_of(request)
    query = _query_of(request)
    lines = [
        ViewLine(
            view,
            _url_of(view),
            is_open=view.query == query,
            own=view.owner_id == user.pk,
            may_edit=saved_views.may_edit(view, user),
        )
        for view in saved_views.views_of(user, channel)
    ]
    context = {
        "own": [line for line in lines if line.own],
        "shared": [line for line in lines if not line.own],
        "channel": channel,
        "asked": urlencode({"channel": channel, "query": query}),
        "page_url": reverse(PAGES[Channel(channel)]),
        "nav": _nav(channel),
    }
    return render_either(
        request,
        page="conversations/saved_view_list.html",
        fragment="conversations/_saved_views.html",
        context=context,
    )


@require_http_methods(["GET", "POST"])
@role_required(Role.VIEWER)
@varies_by_htmx
def new(request: HttpRequest) -> HttpResponse:
    """Save the open page as a view."""
    channel = channel_of(request)
    form = SavedViewForm(posted(request), view=None, query=_query_of(request))
    if form.is_valid():
        values = form.cleaned_data
        try:
            view = saved_views.save_new(
                name=values["name"],
                channel=channel,
                query=values["query"],
                shared=values["shared"],
                owner=user_of(request),
                by=actor_of(request),
            )
        except UserError as error:
            _refuse(form, error)
        else:
            return done(request, _url_of(view), "View saved.", event=CHANGED)
    return _form(request, form, channel, None)


@require_http_methods(["GET", "POST"])
@role_required(Role.VIEWER)
@varies_by_htmx
def edit(request: HttpRequest, view_id: str) -> HttpResponse:
    """Rename a view, share it, or give it the filters of the open page."""
    view = saved_views.editable_view(view_id, user_of(request))
    query = _query_of(request) if "query" in request.GET else view.query
    form = SavedViewForm(posted(request), view=view, query=query)
    if form.is_valid():
        values = form.cleaned_data
        try:
            saved_views.change(
                view=view,
                revision=values["revision"] or 0,
                name=values["name"],
                shared=values["shared"],
                query=values["query"] if values.get("replace") else None,
                by=actor_of(request),
            )
        except saved_views.ViewChanged as error:
            form.at_revision(view.revision)
            _refuse(form, error)
        except UserError as error:
            _refuse(form, error)
        else:
            view.refresh_from_db()
            return done(request, _url_of(view), "View updated.", event=CHANGED)
    return _form(request, form, view.channel, view)


@require_http_methods(["GET", "POST"])
@role_required(Role.VIEWER)
@varies_by_htmx
def delete(request: HttpRequest, view_id: str) -> HttpResponse:
    """Delete a view."""
    view = saved_views.editable_view(view_id, user_of(request))
    if request.method == "POST":
        saved_views.delete(view=view, by=actor_of(request))
        return done(request, _list_url(view.channel), "View deleted.", event=CHANGED)
    context = {"view": view, "back": _list_url(view.channel), "nav": _nav(view.channel)}
    return render_dialog(request, "conversations/saved_view_delete.html", context)


def _form(
    request: HttpRequest, form: SavedViewForm, channel: str, view: SavedView | None
) -> HttpResponse:
    here = request.get_full_path()
    context = {
        "form": form,
        "view": view,
        "here": here,
        "back": _list_url(channel),
        "nav": _nav(channel),
    }
    return render_dialog(request, "conversations/saved_view_form.html", context)


def _refuse(form: SavedViewForm, error: UserError) -> None:
    """Say it at the name where the name is taken, and above the form else."""
    if isinstance(error, saved_views.ViewNameTaken):
        form.add_error("name", error.message)
    else:
        form.add_error(None, error.message)


def _query_of(request: HttpRequest) -> str:
    return saved_views.plain(request.GET.get("query", ""))


def _url_of(view: SavedView) -> str:
    return f"{reverse(PAGES[Channel(view.channel)])}?{view.query}".rstrip("?")


def _list_url(channel: str) -> str:
    return f"{reverse('conversations:saved_views')}?channel={channel}"


def _nav(channel: str) -> str:
    return "calls" if channel == Channel.VOICE else "chats"
