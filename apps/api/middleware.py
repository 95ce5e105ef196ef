"""One shape of refusals under /api/, also for those that no handler of ours has made."""

from collections.abc import Callable
from http import HTTPStatus

from django.http import HttpRequest, HttpResponseBase, JsonResponse

from .errors import refusal
from .limits import Allowance

Answer = Callable[[HttpRequest], HttpResponseBase]

_CODES = {
    400: ("bad_request", "The request cannot be read."),
    403: ("forbidden", "Not allowed."),
    404: ("not_found", "There is no such address. The API is described at /api/docs."),
    405: ("method_not_allowed", "This address does not take this method."),
    413: ("too_large", "The body is larger than this door takes."),
    500: ("internal", "Something went wrong here. It was written to the log."),
}


class ApiAnswers:
    """Errors of Django itself as JSON, and what is left of a limit as headers."""

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if not request.path_info.startswith("/api/"):
            return response
        if response.status_code >= 400 and not _is_json(response):
            response = _as_json(response)
        response.headers.setdefault("Cache-Control", "private, no-store")
        allowance: Allowance | None = getattr(request, "allowance", None)
        if allowance is not None:
            for name, value in allowance.headers().items():
                response.headers[name] = value
            if response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
                response.headers["Retry-After"] = str(max(1, allowance.reset_seconds))
        return response


def _is_json(response: HttpResponseBase) -> bool:
    return response.headers.get("Content-Type", "").startswith("application/json")


def _as_json(response: HttpResponseBase) -> JsonResponse:
    phrase = HTTPStatus(response.status_code).phrase
    code, sentence = _CODES.get(
        response.status_code, (phrase.lower().replace(" ", "_"), f"{phrase}.")
    )
    if allowed := response.headers.get("Allow"):
        sentence = f"{sentence} It takes {allowed}."
    answer = refusal(response.status_code, code, sentence)
    for name in ("Allow", "WWW-Authenticate"):
        if name in response.headers:
            answer.headers[name] = response.headers[name]
    return answer
