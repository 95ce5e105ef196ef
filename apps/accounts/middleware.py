"""Logged in by default, also for requests that are not whole pages."""

from collections.abc import Callable
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.contrib.auth import middleware as auth
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import resolve_url
from django.utils.http import urlencode

from apps.accounts.access import wants_json


class LoginRequiredMiddleware(auth.LoginRequiredMiddleware):
    """Sends strangers to the login; a fragment's request takes the whole page there.

    Without this, htmx would follow the redirect and put the login form into a table.
    """

    def process_view(
        self,
        request: HttpRequest,
        view_func: Callable[..., HttpResponseBase],
        view_args: tuple[object, ...],
        view_kwargs: dict[str, object],
    ) -> HttpResponseBase | None:
        """None for those who may pass."""
        response = super().process_view(request, view_func, view_args, view_kwargs)
        if response is None:
            return None
        if wants_json(request):
            body = {"error": {"code": "unauthorized", "message": "Sign in first.", "fields": {}}}
            return JsonResponse(body, status=401)
        if request.headers.get("HX-Request") == "true":
            return HttpResponse(status=204, headers={"HX-Redirect": _login_and_back(request)})
        return response


def _login_and_back(request: HttpRequest) -> str:
    """The login, and from there to the page that the fragment was for."""
    seen = urlsplit(request.headers.get("HX-Current-URL", "/"))
    back = seen.path + (f"?{seen.query}" if seen.query else "")
    return f"{resolve_url(settings.LOGIN_URL)}?{urlencode({REDIRECT_FIELD_NAME: back})}"
