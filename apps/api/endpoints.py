"""What endpoints share: the role and ``Idempotency-Key`` of writes, the body, and the response."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from apps.accounts import idempotency
from apps.accounts.actors import actor_of
from apps.accounts.api_auth import require
from apps.accounts.models import Role
from apps.agents.models import Agent
from apps.core import cipher
from apps.core.errors import UserError
from apps.core.json_text import parse_json
from apps.core.schemas import Body, Schema

from .errors import NotJson, UnsupportedMediaType

P = ParamSpec("P")
B = TypeVar("B", bound=Body)
View = Callable[Concatenate[HttpRequest, P], HttpResponse]
_CHUNK = 1024 * 1024


def write(
    needed: Role, *, streamed: bool = False, secret: bool = False
) -> Callable[[View[P]], View[P]]:
    """Make an endpoint a write: require the role, and process the same request only once.

    With an ``Idempotency-Key``, a second request within 24 hours gets the response of the first.
    An error isn't stored: the corrected request may use the same key. ``streamed`` is for bodies
    that must not be held in memory: they are hashed while the view reads them, or read to their
    end where the response is known already (docs/decisions/0016). ``secret`` is for responses with
    a secret that is shown once: they are stored encrypted.
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
            return _once(request, key, do, _ENCRYPTED if secret else _PLAIN)

        return guarded

    return decorate


def read(schema: type[B], request: HttpRequest) -> B:
    """Return the body of a request. Raises NotJson, or what the schema rejects it with."""
    return schema.parse(read_object(request))


def read_object(request: HttpRequest) -> dict[str, Any]:
    """Return the JSON object in the body, ``{}`` for an empty one.

    Raises NotJson, also for what Python reads and JSON doesn't allow: NaN, a duplicate key.
    """
    body = request.body
    if not body.strip():
        return {}
    require_type(request, ["application/json"], hint="JSON")
    try:
        value = parse_json(body)
    except ValueError as error:
        raise NotJson(f"Invalid JSON: {str(error).rstrip('.')}.") from None
    if not isinstance(value, dict):
        raise NotJson("The request body must be a JSON object.")
    return value


def require_type(request: HttpRequest, allowed: Sequence[str], *, hint: str) -> None:
    """Raise UnsupportedMediaType for a body that names another type, or is compressed.

    A body without a type is accepted. ``curl -d`` names the type of a form: the message says what
    to send instead.
    """
    given = request.content_type or ""
    is_json = given.endswith("+json") and "application/json" in allowed
    if given and given not in allowed and not is_json:
        raise UnsupportedMediaType(
            f"Send {hint} with “Content-Type: {allowed[0]}”, not {given[:80]}."
        )
    if encoding := request.headers.get("Content-Encoding", ""):
        raise UnsupportedMediaType(
            f"Content-Encoding {encoding[:40]} isn't supported. Send the body uncompressed."
        )


def reader_of(request: HttpRequest) -> Callable[[int], bytes]:
    """Return the function with which a streamed view reads the body."""
    body = getattr(request, "hashed_body", None)
    return body.read if isinstance(body, HashedBody) else request.read


def agent_named(
    agent_id: str | None, *, error: type[UserError], field: str = "agent_id"
) -> Agent | None:
    """Return the agent that a body names, None where it names none. Raises ``error``."""
    public_id = (agent_id or "").replace("\0", "")
    if not public_id:
        return None
    agent = Agent.objects.filter(public_id=public_id).first()
    if agent is None:
        message = f"{field}: no agent with ID “{public_id[:60]}”."
        raise error(message, {field: message})
    return agent


def respond(answer: Schema, status: int = 200) -> HttpResponse:
    """Return a response in JSON."""
    return HttpResponse(answer.as_json(), status=status, content_type="application/json")


# Idempotency-Key


@dataclass(frozen=True, slots=True)
class _Form:
    """How the body of a stored response is written and read."""

    write: Callable[[str], str]
    read: Callable[[str], str]


_PLAIN = _Form(str, str)
_ENCRYPTED = _Form(
    lambda body: cipher.encrypt(body).decode(), lambda stored: cipher.decrypt(stored.encode())
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
    """Reads the body of a request in chunks, and hashes it."""

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
