"""What every write of the API does: the role, and ``Idempotency-Key``."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Concatenate, ParamSpec

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from apps.accounts import idempotency
from apps.accounts.actors import actor_of
from apps.accounts.api_auth import require
from apps.accounts.models import Role
from apps.core import cipher

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]
_CHUNK = 1024 * 1024


def write(
    needed: Role, *, streamed: bool = False, secret: bool = False
) -> Callable[[View[P]], View[P]]:
    """A view that changes something: asks for the role, and does the same request once only.

    With an ``Idempotency-Key`` the second request within 24 hours gets the first one's answer.
    A refusal is not kept: the key is free for the request that was mended. ``streamed`` is for
    bodies that must not be held in memory: they are hashed while the view reads them, or read to
    their end where the answer is known already (docs/decisions/0016). ``secret`` is for answers
    with a secret that is shown once: what is kept of them is encrypted.
    """

    def decorate(view: View[P]) -> View[P]:
        @wraps(view)
        def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
            require(request, needed)
            key = request.headers.get("Idempotency-Key")
            if key is None:
                return view(request, *args, **kwargs)

            def do() -> HttpResponse:
                return view(request, *args, **kwargs)

            if streamed:
                return _once_streamed(request, key, do)
            return _once(request, key, do, _SEALED if secret else _PLAIN)

        return guarded

    return decorate


@dataclass(frozen=True, slots=True)
class _Form:
    """How the body of an answer is written down, and read again."""

    write: Callable[[str], str]
    read: Callable[[str], str]


_PLAIN = _Form(str, str)
_SEALED = _Form(
    lambda body: cipher.encrypt(body).decode(), lambda kept: cipher.decrypt(kept.encode())
)


def _once(
    request: HttpRequest, key: str, do: Callable[[], HttpResponse], form: _Form
) -> HttpResponse:
    claim = _claim(request, key, hashlib.sha256(request.body).hexdigest())
    if isinstance(claim, idempotency.StoredResponse):
        return _again(claim, form)
    return _do(claim, do, form)


def _once_streamed(request: HttpRequest, key: str, do: Callable[[], HttpResponse]) -> HttpResponse:
    claim = _claim(request, key, None)
    body = HashedBody(request)
    if isinstance(claim, idempotency.StoredResponse):
        while body.read(_CHUNK):
            pass
        claim.check(key, body.sha256)
        return _again(claim, _PLAIN)
    request.hashed_body = body  # type: ignore[attr-defined]  # read by `reader_of`
    return _do(claim, do, _PLAIN, lambda: body.sha256)


class HashedBody:
    """Reads a request's body as it comes, and knows its hash in the end."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self._hash = hashlib.sha256()

    def read(self, size: int) -> bytes:
        """The next bytes, none at the end."""
        chunk = self._request.read(size)
        self._hash.update(chunk)
        return chunk

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


def reader_of(request: HttpRequest) -> Callable[[int], bytes]:
    """How a streamed view reads the body."""
    body = getattr(request, "hashed_body", None)
    return body.read if isinstance(body, HashedBody) else request.read


def _claim(
    request: HttpRequest, key: str, sha256: str | None
) -> idempotency.Claim | idempotency.StoredResponse:
    return idempotency.claim(
        key=key,
        path=f"{request.method} {request.path}",
        actor=actor_of(request),
        sha256=sha256,
        now=timezone.now(),
    )


def _do(
    claim: idempotency.Claim,
    do: Callable[[], HttpResponse],
    form: _Form,
    sha256: Callable[[], str] | None = None,
) -> HttpResponse:
    try:
        response = do()
    except BaseException:
        claim.forget()
        raise
    if response.status_code >= 400:
        claim.forget()
    else:
        kept = form.write(response.content.decode())
        claim.keep(response.status_code, kept, sha256=sha256() if sha256 else None)
    return response


def _again(answer: idempotency.StoredResponse, form: _Form) -> HttpResponse:
    body = form.read(answer.body)
    response = HttpResponse(body, status=answer.status, content_type="application/json")
    response.headers["Idempotency-Replayed"] = "true"
    return response
