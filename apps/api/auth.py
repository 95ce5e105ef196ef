"""Who calls, and how often they may."""

from django.http import HttpRequest

from apps.accounts.actors import Actor
from apps.accounts.api_auth import KeyAuth

from . import limits

#: Doors by which conversations come in; every other write is a change.
_DOORS = {
    "api/conversations": limits.INTAKE,
    "api/conversations/bulk": limits.BULK,
    "api/conversations/<conversation_id>/messages": limits.INTAKE,
    "api/conversations/<conversation_id>/close": limits.INTAKE,
}


class ApiKey(KeyAuth):
    """`Authorization: Bearer dbk_…`, counted against the limits of the key."""

    def authenticate(self, request: HttpRequest, token: str) -> Actor | None:
        """The actor behind the key; None answers 401. Raises RateLimited."""
        actor = super().authenticate(request, token)
        if actor is not None:
            charge(request, class_of(request), actor.label)
        return actor


def class_of(request: HttpRequest) -> str:
    """Return the class of the requested operation."""
    if request.method in {"GET", "HEAD"}:
        return limits.READ
    route = request.resolver_match.route if request.resolver_match else ""
    return _DOORS.get(route, limits.CHANGE)


def charge(request: HttpRequest, kind: str, who: str) -> None:
    """Count the request; its answer then says what is left. Raises RateLimited."""
    allowance, may_pass = limits.count(kind, who)
    request.allowance = allowance  # type: ignore[attr-defined]  # read by the middleware
    if allowance is not None and not may_pass:
        raise limits.refusal_of(allowance)
