"""Middleware for every request."""

from collections.abc import Callable

from csp.constants import HEADER
from csp.utils import build_policy
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponseBase

Answer = Callable[[HttpRequest], HttpResponseBase]


class ContentPolicy:
    """Send the Content-Security-Policy of the settings with each response.

    It is the same for all of them, so it is written once: the library's own middleware also
    allows policies per page and nonces, which Debrief has none of, and builds two per response.
    """

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response
        self._policy = build_policy()

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if not (settings.DEBUG and response.status_code in {404, 500}):  # Django's own pages
            response.headers.setdefault(HEADER, self._policy)
        return response


class NulIsNotFound:
    """No path with a NUL in it exists: PostgreSQL's text cannot even be asked for one."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *view: object) -> None:
        """Raise Http404 here, where the view's own 404 would be made."""
        if "\0" in request.path_info:
            raise Http404


class NothingIsKept:
    """Forbid browsers and proxies to store pages, so that no page can be read after sign-out.

    WhiteNoise serves static files before this middleware runs, so they are stored.
    """

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        response.headers.setdefault("Cache-Control", "no-store, private")
        return response
