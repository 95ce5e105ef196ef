"""How the forms of this room answer: in a dialog where there is script, as a page where not."""

from collections.abc import Mapping

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import resolve_url

from apps.core.http import hx_redirect, render_either


def posted(request: HttpRequest) -> QueryDict | None:
    """What a form is bound to: an empty POST too, which is a form with nothing filled in."""
    return request.POST if request.method == "POST" else None


def form_page(request: HttpRequest, template: str, context: Mapping[str, object]) -> HttpResponse:
    """A form (or what came of it): the dialog for htmx, else the page around it.

    The fragment of `accounts/person_new.html` is `accounts/_person_new.html`.
    """
    folder, name = template.rsplit("/", 1)
    return render_either(request, page=template, fragment=f"{folder}/_{name}", context=context)


def done(request: HttpRequest, to: str, message: str) -> HttpResponse:
    """Go to the page `to`, which then says what happened."""
    messages.success(request, message)
    return hx_redirect(request, resolve_url(to))
