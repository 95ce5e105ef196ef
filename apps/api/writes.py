"""What every write of the API does: the role, and ``Idempotency-Key``."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from apps.accounts import idempotency
from apps.accounts.actors import actor_of
from apps.accounts.api_auth import require
from apps.accounts.models import Role

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]


def write(needed: Role) -> Callable[[View[P]], View[P]]:
    """A view that changes something: asks for the role, and does the same request once only.

    With an ``Idempotency-Key`` the second request within 24 hours gets the first one's answer.
    """

    def decorate(view: View[P]) -> View[P]:
        @wraps(view)
        def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
            require(request, needed)
            key = request.headers.get("Idempotency-Key")
            if key is None:
                return view(request, *args, **kwargs)
            return _once(request, key, lambda: view(request, *args, **kwargs))

        return guarded

    return decorate


def _once(request: HttpRequest, key: str, do: Callable[[], HttpResponse]) -> HttpResponse:
    claim = idempotency.claim(
        key=key,
        path=f"{request.method} {request.path}",
        actor=actor_of(request),
        request=request.body,
        now=timezone.now(),
    )
    if isinstance(claim, idempotency.Answer):
        return HttpResponse(claim.body, status=claim.status, content_type="application/json")
    try:
        response = do()
    except BaseException:
        claim.forget()
        raise
    claim.keep(response.status_code, response.content.decode())
    return response
