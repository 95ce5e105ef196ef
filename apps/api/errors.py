"""One shape for every refusal, and bodies read strictly."""

from collections.abc import Sequence
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, UnreadablePostError
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, ValidationError

from apps.core.errors import BadRequest, UserError
from apps.core.json_text import parse_json

DISK_FULL = "53100"
"""PostgreSQL's SQLSTATE."""


def refusal(
    status: int, code: str, message: str, fields: dict[str, str] | None = None, **more: Any
) -> JsonResponse:
    """``{"error": {"code", "message", "fields"}}`` with its status."""
    error = {"code": code, "message": message, "fields": fields or {}, **more}
    return JsonResponse({"error": error}, status=status)


def add_handlers(api: NinjaAPI) -> None:
    """Make everything that a view may raise answer in the one shape."""

    @api.exception_handler(UserError)
    def refused(request: HttpRequest, error: UserError) -> HttpResponse:
        return refusal(error.status, error.code, error.message, error.fields)

    @api.exception_handler(AuthenticationError)
    def unknown(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
        answer = refusal(401, "unauthorized", "Send a valid API key: “Authorization: Bearer …”.")
        answer.headers["WWW-Authenticate"] = "Bearer"
        return answer

    @api.exception_handler(PermissionDenied)
    def denied(request: HttpRequest, error: PermissionDenied) -> HttpResponse:
        return refusal(403, "forbidden", str(error) or "Not allowed.")

    @api.exception_handler(Http404)
    def missing(request: HttpRequest, error: Http404) -> HttpResponse:
        return refusal(404, "not_found", "There is nothing with this id.")

    @api.exception_handler(RequestDataTooBig)
    def too_big(request: HttpRequest, error: RequestDataTooBig) -> HttpResponse:
        return refusal(413, "too_large", "The request body is too large. Nothing was changed.")

    @api.exception_handler(OperationalError)
    def unable(request: HttpRequest, error: OperationalError) -> HttpResponse:
        if getattr(error.__cause__, "sqlstate", None) != DISK_FULL:
            raise error
        message = "The database has no disk space left. Send it again once there is room."
        return refusal(507, "insufficient_storage", message)

    @api.exception_handler(UnreadablePostError)
    def broken_off(request: HttpRequest, error: UnreadablePostError) -> HttpResponse:
        return refusal(400, "incomplete_body", "The body broke off before its end. Send it again.")

    @api.exception_handler(ValidationError)
    def invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
        fields = {".".join(map(str, e["loc"][1:])): str(e["msg"]) for e in error.errors}
        return refusal(422, "invalid", "Some values are not as they should be.", fields)


class NotJson(BadRequest):
    """The body is not the JSON object that was expected."""

    code = "not_json"


class UnsupportedMediaType(UserError):
    """The body is of another kind than this door takes."""

    code = "unsupported_media_type"
    status = 415


def read_object(request: HttpRequest) -> dict[str, Any]:
    """The JSON object in the body, ``{}`` for an empty one.

    Raises NotJson, also for what Python reads and JSON does not know: NaN, a key given twice.
    """
    body = request.body
    if not body.strip():
        return {}
    require_type(request, ["application/json"], hint="JSON")
    try:
        value = parse_json(body)
    except ValueError as error:
        raise NotJson(f"The body is not JSON: {str(error).rstrip('.')}.") from None
    if not isinstance(value, dict):
        raise NotJson("The body must be a JSON object: {…}.")
    return value


def require_type(request: HttpRequest, known: Sequence[str], *, hint: str) -> None:
    """Raise UnsupportedMediaType for a body that says it is of another kind.

    One that says nothing is taken. ``curl -d`` says it is a form: the sentence names the way out.
    """
    given = request.content_type or ""
    if given and given not in known and not (given.endswith("+json") and known[0] in _JSON):
        raise UnsupportedMediaType(
            f"Send {hint} with “Content-Type: {known[0]}”, not {given[:80]}."
        )
    if encoding := request.headers.get("Content-Encoding", ""):
        raise UnsupportedMediaType(
            f"Send the body as it is, without Content-Encoding {encoding[:40]}."
        )


_JSON = {"application/json"}


def refuse_unknown(body: dict[str, Any], known: set[str]) -> None:
    """Raise UnknownKeys for keys of a body that mean nothing: a typing error must not pass."""
    unknown = [key for key in body if key not in known]
    if unknown:
        names = ", ".join(sorted(known))
        said = ", ".join(key[:60] for key in unknown[:5])
        raise UnknownKeys(
            f"Unknown: {said}. Known are {names}." if known else f"Unknown: {said}.",
            {key[:60]: "There is no such key." for key in unknown[:20]},
        )


class UnknownKeys(UserError):
    """A key that means nothing: a typing error must not pass."""

    code = "unknown_keys"
