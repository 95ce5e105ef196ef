"""Return every error under /api/ in one format, including Django's own."""

from collections.abc import Callable
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render

from apps.accounts import expiry

from .errors import LengthRequired, TooLarge, error_response
from .limits import Allowance

#: Where the gateway leaves a request that it refused (config/gateway/app.py).
REFUSED = "debrief.refused"

Answer = Callable[[HttpRequest], HttpResponseBase]

_CODES = {
    400: ("bad_request", "Malformed request."),
    403: ("forbidden", "Not allowed."),
    404: ("not_found", "No route matches this URL. See /api/docs."),
    405: ("method_not_allowed", "Method not allowed."),
    413: (TooLarge.code, TooLarge().message),
    500: ("internal", "Internal server error. It has been logged."),
}


class ApiAnswers:
    """Return Django's own errors as JSON, and the remainder of a limit as headers."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path_info.startswith("/api/"):
            return self.get_response(request)
        if request.path_info.endswith("/") and request.path_info != "/api/":
            # The address of a receiver is often pasted with a slash, and a redirect loses the body.
            request.path_info = request.path_info.rstrip("/")
        response = self.get_response(request)
        if response.status_code >= 400 and not _is_json(response):
            response = _as_json(response)
        allowance: Allowance | None = getattr(request, "allowance", None)
        if allowance is not None:
            for name, value in allowance.headers().items():
                response.headers[name] = value
            if response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
                response.headers["Retry-After"] = str(max(1, allowance.reset_seconds))
        return response


class UnreadBodies:
    """Respond to requests whose bodies were not read, before anything else handles them."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        refused = request.META.get(REFUSED)
        if refused is not None:
            if refused.is_of_stranger and (response := _signed_out(request)):
                return response
            return _unread(request, refused.status, refused.code, refused.message)
        if "HTTP_TRANSFER_ENCODING" in request.META and not request.META.get("CONTENT_LENGTH"):
            # Not behind the gateway: Django would read nothing, whatever was sent.
            error = LengthRequired()
            return _unread(request, error.status, error.code, error.message)
        return self.get_response(request)


_SIGNED_OUT = (
    "You were signed out because your session ended, and what you sent is too large to be stored "
    "without one. Nothing was saved. Go back: your browser still has what you typed. Sign in in "
    "another tab, then save again."
)


def _signed_out(request: HttpRequest) -> HttpResponse | None:
    """Respond to a large form whose session ended; None for what another program sent.

    The page's script asks for the password and sends the form again.
    """
    if request.path_info.startswith("/api/") or expiry.MARK not in request.COOKIES:
        return None
    if expiry.is_htmx(request):
        return expiry.ended_for_htmx()
    return render(request, "unread.html", {"message": _SIGNED_OUT}, status=403)


def _unread(request: HttpRequest, status: int, code: str, message: str) -> HttpResponse:
    if request.path_info.startswith("/api/"):
        return error_response(status, code, message)
    if request.headers.get("HX-Request") == "true":  # becomes a toast
        return HttpResponse(message, status=status, content_type="text/plain; charset=utf-8")
    return render(request, "unread.html", {"message": message}, status=status)


def _is_json(response: HttpResponseBase) -> bool:
    return response.headers.get("Content-Type", "").startswith("application/json")


def _as_json(response: HttpResponseBase) -> JsonResponse:
    phrase = HTTPStatus(response.status_code).phrase
    code, sentence = _CODES.get(
        response.status_code, (phrase.lower().replace(" ", "_"), f"{phrase}.")
    )
    if allowed := response.headers.get("Allow"):
        sentence = f"{sentence} Allowed: {allowed}."
    answer = error_response(response.status_code, code, sentence)
    for name in ("Allow", "WWW-Authenticate"):
        if name in response.headers:
            answer.headers[name] = response.headers[name]
    return answer
