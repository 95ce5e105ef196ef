"""Lists of the API: ``limit``, ``cursor``, ``include_total``."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from django.http import HttpRequest, JsonResponse

from apps.core.errors import BadRequest, UserError
from apps.core.pagination import page

M = TypeVar("M", bound=Model)

PARAMETERS = ("limit", "cursor", "include_total")
MAX_LIMIT = 1000
DEFAULT_LIMIT = 50


def answer(
    request: HttpRequest,
    rows: QuerySet[M],
    *,
    order: Sequence[str],
    show: Callable[[M], dict[str, Any]],
    **more: Any,
) -> JsonResponse:
    """One page of rows as ``{"items", "next_cursor"}``, with ``total`` where it is asked for and
    ``more`` beside them."""
    return answer_together(
        request, rows, order=order, show=lambda found: list(map(show, found)), **more
    )


def answer_together(
    request: HttpRequest,
    rows: QuerySet[M],
    *,
    order: Sequence[str],
    show: Callable[[Sequence[M]], list[dict[str, Any]]],
    **more: Any,
) -> JsonResponse:
    """As `answer`, for rows that are shown together because they are read together."""
    found = page(
        rows, order=order, cursor=_once(request, "cursor", "") or None, limit=_limit(request)
    )
    body: dict[str, Any] = {
        "items": show(found.items),
        "next_cursor": found.next_cursor,
        **more,
    }
    if _wants_total(request):
        body["total"] = rows.order_by().count()
    return JsonResponse(body)


class Repeated(UserError):
    """A parameter of which there is one was given more often."""

    code = "repeated_parameter"


def _once(request: HttpRequest, name: str, otherwise: str) -> str:
    given = request.GET.getlist(name)
    if len(given) > 1:
        raise Repeated(f"Give {name} once, not {len(given)} times.", {name: "Give it once."})
    return given[0] if given else otherwise


def _limit(request: HttpRequest) -> int:
    text = _once(request, "limit", str(DEFAULT_LIMIT))
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= MAX_LIMIT:
        raise BadRequest(
            f"limit is a whole number from 1 to {MAX_LIMIT}, not “{text[:40]}”.",
            {"limit": f"From 1 to {MAX_LIMIT}."},
        )
    return int(text)


def _wants_total(request: HttpRequest) -> bool:
    text = _once(request, "include_total", "false")
    if text not in {"true", "false"}:
        raise BadRequest("include_total is true or false.", {"include_total": "true or false."})
    return text == "true"


def only(request: HttpRequest, *known: str) -> None:
    """Raise BadRequest for a query parameter that means nothing here."""
    for name in request.GET:
        if name not in {*PARAMETERS, *known}:
            raise BadRequest(f"Unknown parameter “{name[:80]}”.", {name[:80]: "Unknown."})
