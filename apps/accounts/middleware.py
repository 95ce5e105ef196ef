"""Logged in by default, also for requests that are not whole pages."""

from collections.abc import Callable
from urllib.parse import urlsplit

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

    def handle_no_permission(
        self, request: HttpRequest, view_func: Callable[..., HttpResponseBase]
    ) -> HttpResponseBase:
        if wants_json(request):
            body = {"error": {"code": "unauthorized", "message": "Sign in first.", "fields": {}}}
            return JsonResponse(body, status=401)
        if request.headers.get("HX-Request") != "true":
            return super().handle_no_permission(request, view_func)
        seen = urlsplit(request.headers.get("HX-Current-URL", "/"))
        back = seen.path + (f"?{seen.query}" if seen.query else "")
        login = resolve_url(self.get_login_url(view_func))
        target = f"{login}?{urlencode({REDIRECT_FIELD_NAME: back})}"
        return HttpResponse(status=204, headers={"HX-Redirect": target})
