"""How the REST API and its documentation are opened."""

from collections.abc import Callable, Iterable

from django.http import HttpRequest, HttpResponseBase, HttpResponseNotAllowed, JsonResponse
from django.urls import URLPattern, URLResolver
from ninja.security import HttpBearer

from apps.accounts.access import refusal_message
from apps.accounts.actors import Actor, actor_of
from apps.accounts.keys import authenticate_key
from apps.accounts.models import Role
from apps.core.errors import Refused


class KeyAuth(HttpBearer):
    """`Authorization: Bearer dbk_…`; sets `request.actor`. A session alone opens nothing here.

    `KeyAuth(Role.EDITOR)` also requires a role, and raises `Refused` (403) for a lower one.
    """

    def __init__(self, needed: Role = Role.VIEWER) -> None:
        self.needed = needed
        super().__init__()

    def authenticate(self, request: HttpRequest, token: str) -> Actor | None:
        """Return the actor behind the key, also as `request.actor`; None returns 401."""
        key = authenticate_key(token)
        if key is None:
            return None
        actor = Actor.of_key(key)
        request.actor = actor  # type: ignore[attr-defined]  # read by actors.actor_of
        require(request, self.needed)
        return actor


def require(request: HttpRequest, needed: Role) -> None:
    """Raise `Refused` (403) unless the caller's role allows `needed`."""
    have = actor_of(request).role
    if not have.allows(needed):
        raise Refused(refusal_message(have, needed))


def session_or_key(
    view: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """For the API's documentation (`docs_decorator`): people in a browser, and programs."""

    def guarded(request: HttpRequest) -> HttpResponseBase:
        if request.method not in {"GET", "HEAD"}:
            return HttpResponseNotAllowed(["GET", "HEAD"])
        header = request.headers.get("Authorization", "")
        if request.user.is_authenticated or (header and authenticate_key(header)):
            return view(request)
        body = {"error": {"code": "unauthorized", "message": "Sign in to continue.", "fields": {}}}
        return JsonResponse(body, status=401)

    return guarded


def open_to_keys(patterns: Iterable[URLPattern | URLResolver]) -> None:
    """Exempt the API's paths from the login redirect: they return 401 themselves."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            open_to_keys(pattern.url_patterns)
        else:
            pattern.callback.login_required = False  # type: ignore[attr-defined]
