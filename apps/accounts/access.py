"""The one gate of roles: the first line above every view that asks for more than a login."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse

from apps.accounts.actors import actor_of
from apps.accounts.models import Role, User

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponseBase]


def refusal_message(have: Role, needed: Role) -> str:
    """Return the message for someone whose role does not reach."""
    return (
        f"This requires the {needed.label} role. You have the {have.label} role. "
        "An admin can change it under Members."
    )


def wants_json(request: HttpRequest) -> bool:
    """Whether a rejection should be JSON: API paths, and callers that ask for nothing else."""
    if request.path.startswith("/api/"):
        return True
    return request.get_preferred_type(["text/html", "application/json"]) == "application/json"


def user_of(request: HttpRequest) -> User:
    """Return the person who signed in, for pages that only they may see."""
    if not isinstance(request.user, User):
        raise PermissionDenied("Sign in to continue.")
    return request.user


def role_required(needed: Role) -> Callable[[View[P]], View[P]]:
    """Let only actors through whose role allows `needed`.

    A stranger is sent to the login (JSON: 401); a role too low gets the 403 page (JSON: 403).
    """

    def decorate(view: View[P]) -> View[P]:
        @wraps(view)
        def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            as_json = wants_json(request)
            if not (hasattr(request, "actor") or request.user.is_authenticated):
                if as_json:
                    return _json(401, "unauthorized", "Sign in to continue.")
                return redirect_to_login(request.get_full_path(), settings.LOGIN_URL)
            have = actor_of(request).role
            if have.allows(needed):
                return view(request, *args, **kwargs)
            if as_json:
                return _json(403, "forbidden", refusal_message(have, needed))
            if request.headers.get("HX-Request") == "true":  # becomes a toast
                text = refusal_message(have, needed)
                return HttpResponse(text, status=403, content_type="text/plain; charset=utf-8")
            raise PermissionDenied(refusal_message(have, needed))

        return guarded

    return decorate


def _json(status: int, code: str, message: str) -> JsonResponse:
    body = {"error": {"code": code, "message": message, "fields": {}}}
    return JsonResponse(body, status=status)
