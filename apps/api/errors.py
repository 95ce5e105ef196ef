"""Return every error in one format."""

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, UnreadablePostError
from ninja import NinjaAPI
from ninja.errors import AuthenticationError

from apps.core.errors import BadRequest, Example, NotFound, Refused, UserError

DISK_FULL = "53100"
"""PostgreSQL's SQLSTATE."""


class Unauthorized(UserError):
    """Raised for a request without a valid key."""

    code = "unauthorized"
    status = 401
    example = Example("Send a valid API key: “Authorization: Bearer …”.")


class NotJson(BadRequest):
    """Raised for a body that isn't the expected JSON object."""

    code = "not_json"
    example = Example("Invalid JSON: Expecting value: line 1 column 1 (char 0).")


class IncompleteBody(BadRequest):
    """Raised for a body that ended early."""

    code = "incomplete_body"
    example = Example("The request body ended early. Send it again.")


class TooSlow(UserError):
    """Raised by the gateway for a body that doesn't arrive."""

    code = "too_slow"
    status = 408
    example = Example(
        "The request body did not arrive in time. Nothing was changed. Send it again."
    )


class LengthRequired(UserError):
    """Raised for a body of unknown length, where the gateway isn't in front."""

    code = "length_required"
    status = 411
    example = Example("Set the Content-Length header. Nothing was changed.")


class TooLarge(UserError):
    """Raised for a body over the limit of its URL."""

    code = "too_large"
    status = 413
    example = Example("The request body is too large. Nothing was changed.")


class UnsupportedMediaType(UserError):
    """Raised for a body of another type than the URL takes."""

    code = "unsupported_media_type"
    status = 415
    example = Example("Send JSON with “Content-Type: application/json”, not text/plain.")


class Unavailable(UserError):
    """Raised by the gateway while it can't check who sends a large body."""

    code = "unavailable"
    status = 503
    example = Example("The server can't check the sender. Nothing was changed. Try again.")


class InsufficientStorage(UserError):
    """Raised while there is no disk space, for the database or a body."""

    code = "insufficient_storage"
    status = 507
    example = Example("The database has no disk space left. Free up space, then send it again.")


def error_response(
    status: int, code: str, message: str, fields: Mapping[str, str] | None = None, **more: Any
) -> JsonResponse:
    """Return ``{"error": {"code", "message", "fields"}}`` with its status."""
    error = {"code": code, "message": message, "fields": fields or {}, **more}
    return JsonResponse({"error": error}, status=status)


def response_of(error: UserError) -> JsonResponse:
    """Return the response for an error."""
    return error_response(error.status, error.code, error.message, error.fields, **error.more)


def add_handlers(api: NinjaAPI) -> None:
    """Return any exception of a view in that format."""

    @api.exception_handler(UserError)
    def refused(request: HttpRequest, error: UserError) -> HttpResponse:
        return response_of(error)

    @api.exception_handler(AuthenticationError)
    def unknown(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
        response = response_of(Unauthorized())
        response.headers["WWW-Authenticate"] = "Bearer"
        return response

    @api.exception_handler(PermissionDenied)
    def denied(request: HttpRequest, error: PermissionDenied) -> HttpResponse:
        return response_of(Refused(str(error) or "Not allowed."))

    @api.exception_handler(Http404)
    def missing(request: HttpRequest, error: Http404) -> HttpResponse:
        return response_of(NotFound())

    @api.exception_handler(RequestDataTooBig)
    def too_big(request: HttpRequest, error: RequestDataTooBig) -> HttpResponse:
        return response_of(TooLarge())

    @api.exception_handler(OperationalError)
    def unable(request: HttpRequest, error: OperationalError) -> HttpResponse:
        if getattr(error.__cause__, "sqlstate", None) != DISK_FULL:
            raise error
        return response_of(InsufficientStorage())

    @api.exception_handler(UnreadablePostError)
    def broken_off(request: HttpRequest, error: UnreadablePostError) -> HttpResponse:
        return response_of(IncompleteBody())
