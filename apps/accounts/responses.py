"""Respond to forms: in a dialog with script, as a page without; and the page to continue on."""

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme

from apps.core.http import dialog_done, wants_fragment


def posted(request: HttpRequest) -> QueryDict | None:
    """Return what a form is bound to: an empty POST too, which is a form with nothing filled in."""
    return request.POST if request.method == "POST" else None


def done(request: HttpRequest, to: str, message: str, *, event: str = "") -> HttpResponse:
    """Say what happened: on the page `to`, or next to the dialog, whose page is sent to look again.

    Where `to` is a URL, the event has to be given. Else it is named for the page: `people:changed`
    for `accounts:people`, and `mappings:changed` for `mappings:list`.
    """
    if wants_fragment(request):
        return dialog_done(message, event or changed(to))
    messages.success(request, message)
    return redirect(to)


def changed(page: str) -> str:
    """Return the event that makes the list on `page` load itself again."""
    app, _, name = page.rpartition(":")
    return f"{app if name == 'list' else name}:changed"


def safe_next(request: HttpRequest) -> str:
    """Return where to go after signing in; never to another site."""
    target = request.POST.get("next") or request.GET.get("next") or ""
    hosts = {request.get_host()}
    if url_has_allowed_host_and_scheme(target, hosts, require_https=request.is_secure()):
        return target
    return resolve_url(settings.LOGIN_REDIRECT_URL)
