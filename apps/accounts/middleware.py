"""Logged in by default, also for requests that are not whole pages."""

from collections.abc import Callable

from django.contrib.auth import middleware as auth
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse

from apps.accounts import expiry
from apps.accounts.access import wants_json


class LoginRequiredMiddleware(auth.LoginRequiredMiddleware):
    """Send strangers to the login, but keep what someone typed whose session ended."""

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
            body = {
                "error": {"code": "unauthorized", "message": "Sign in to continue.", "fields": {}}
            }
            return JsonResponse(body, status=401)
        if expiry.is_htmx(request):
            return expiry.ended_for_htmx()
        if request.path.startswith("/admin/"):
            return response
        if expiry.asks_to_sign_in(request):
            return expiry.sign_in_with(request)
        if request.method == "POST" and expiry.has_typed(request):
            return expiry.send_again(request)
        return expiry.to_login(request)

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        """Let the browser know that someone is signed in."""
        expiry.mark(request, response)
        return response
