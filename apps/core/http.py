"""What a view needs to know about htmx, and the responses that only htmx understands.

One URL serves the page and its fragment. Which of the two is decided here and nowhere else:
`request.htmx` alone is also true when the browser restores a page from history, and a fragment
would leave the reader with half a page.
"""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Concatenate, Literal, ParamSpec, TypeVar

from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.utils.cache import patch_vary_headers
from django_htmx.http import HttpResponseClientRedirect, trigger_client_event
from django_htmx.middleware import HtmxDetails

P = ParamSpec("P")
R = TypeVar("R", bound=HttpResponseBase)

ToastKind = Literal["ok", "info", "warn", "bad"]

# All that decides between page and fragment. A cache that ignored one of them would mix them up.
FRAGMENT_HEADERS = ("HX-Request", "HX-Boosted", "HX-History-Restore-Request")

STOP_POLLING = 286


def wants_fragment(request: HttpRequest) -> bool:
    """Return whether htmx asks for a part of a page: not a boosted link, not a page from history.

    The response must then carry `Vary`: use `render_either`, or `varies_by_htmx` on the view.
    """
    htmx = HtmxDetails(request)
    return bool(htmx) and not htmx.boosted and not htmx.history_restore_request


def render_either(
    request: HttpRequest,
    *,
    page: str,
    fragment: str,
    context: Mapping[str, object],
    status: int = 200,
) -> HttpResponse:
    """Render the template `fragment` for htmx, `page` for everybody else, with `Vary` set.

    Templates read `in_dialog` to know which one they are in: a form that was opened as a page is
    sent as a page and returned as a page, so that no second form with its ID opens over it.
    """
    in_dialog = wants_fragment(request)
    template = fragment if in_dialog else page
    response = render(request, template, {"in_dialog": in_dialog, **context}, status=status)
    patch_vary_headers(response, FRAGMENT_HEADERS)
    return response


def render_dialog(
    request: HttpRequest, template: str, context: Mapping[str, object], *, status: int = 200
) -> HttpResponse:
    """Render a template that extends `dialog`: a dialog for htmx, a page otherwise.

    The template is written once. Its parent, `components/_dialog.html` or `dialog_page.html`,
    decides what surrounds it.
    """
    parent = "components/_dialog.html" if wants_fragment(request) else "dialog_page.html"
    context = {"dialog": parent, **context}
    return render_either(request, page=template, fragment=template, context=context, status=status)


def varies_by_htmx(
    view: Callable[Concatenate[HttpRequest, P], R],
) -> Callable[Concatenate[HttpRequest, P], R]:
    """Set `Vary` on the responses of `view`, which calls `wants_fragment` itself."""

    @wraps(view)
    def varied(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> R:
        response = view(request, *args, **kwargs)
        patch_vary_headers(response, FRAGMENT_HEADERS)
        return response

    return varied


def hx_trigger(response: R, **events: object) -> R:
    """Let htmx fire `events` in the page once `response` has arrived: name to detail.

    Names with a colon go in as `**{"dialog:close": None}`. Events set before are stored.
    Everything else about the response stays as it is.
    """
    for name, detail in events.items():
        params = detail if isinstance(detail, dict) else {} if detail is None else {"value": detail}
        trigger_client_event(response, name, params)
    return response


def add_toast(
    response: R,
    text: str,
    *,
    kind: ToastKind = "ok",
    href: str = "",
    action: str = "",
    undo: str = "",
) -> R:
    """Show `text` when the response arrives; `href` with the word `action` is a link in it.

    `undo` is a URL: a button *Undo* posts to it.
    """
    link = {"href": href, "action": action}
    return hx_trigger(response, toast={"text": text, "kind": kind, **link, "undo": undo})


def dialog_done(
    text: str = "",
    *events: str,
    kind: ToastKind = "ok",
    href: str = "",
    action: str = "",
    undo: str = "",
) -> HttpResponse:
    """Return the response to a successful form in a dialog: close it, say so, notify the page.

    The status is 204, so nothing is swapped. `events` are the names of browser events for the
    elements that show the changed data (`hx-trigger="agents:changed from:body"`). An invalid form
    gets a 200 instead.
    """
    response = hx_trigger(HttpResponse(status=204), **dict.fromkeys(["dialog:close", *events]))
    if not text:
        return response
    return add_toast(response, text, kind=kind, href=href, action=action, undo=undo)


def hx_redirect(request: HttpRequest, url: str) -> HttpResponse:
    """Take the whole page to `url`: by a header for htmx, by an ordinary 302 without script."""
    if HtmxDetails(request):
        return HttpResponseClientRedirect(url)
    return HttpResponseRedirect(url)


def stop_polling(response: HttpResponse) -> HttpResponse:
    """Mark the last response of a poll: htmx swaps it and stops polling (htmx 2, status 286)."""
    response.status_code = STOP_POLLING
    return response
