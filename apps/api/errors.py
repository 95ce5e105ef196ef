"""One shape for every refusal (interfaces.md, REST API)."""

import json
import logging
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, ValidationError

from apps.core.errors import UserError

logger = logging.getLogger(__name__)


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
        return refusal(401, "unauthorized", "Send a valid API key: “Authorization: Bearer …”.")

    @api.exception_handler(PermissionDenied)
    def denied(request: HttpRequest, error: PermissionDenied) -> HttpResponse:
        return refusal(403, "forbidden", str(error) or "Not allowed.")

    @api.exception_handler(Http404)
    def missing(request: HttpRequest, error: Http404) -> HttpResponse:
        return refusal(404, "not_found", "There is nothing with this id.")

    @api.exception_handler(RequestDataTooBig)
    def too_big(request: HttpRequest, error: RequestDataTooBig) -> HttpResponse:
        return refusal(413, "too_large", "The body is larger than this door takes.")

    @api.exception_handler(ValidationError)
    def invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
        fields = {".".join(map(str, e["loc"][1:])): str(e["msg"]) for e in error.errors}
        return refusal(422, "invalid", "Some values are not as they should be.", fields)


def read_object(request: HttpRequest) -> dict[str, Any]:
    """The JSON object in the body, ``{}`` for an empty one. Raises NotJson."""
    if not request.body.strip():
        return {}
    try:
        value = json.loads(request.body)
    except (ValueError, RecursionError) as error:
        raise NotJson(f"The body is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise NotJson("The body must be a JSON object.")
    return value


class NotJson(UserError):
    code = "not_json"
    status = 400


def refuse_unknown(body: dict[str, Any], known: set[str]) -> None:
    """Raise UnknownKeys for keys of a body that mean nothing: a typing error must not pass."""
    unknown = [key for key in body if key not in known]
    if unknown:
        names = ", ".join(sorted(known))
        raise UnknownKeys(
            f"Unknown: {', '.join(unknown)}. Known are {names}.",
            dict.fromkeys(unknown, "There is no such key."),
        )


class UnknownKeys(UserError):
    code = "unknown_keys"
