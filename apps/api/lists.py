"""Lists of the API: ``limit``, ``cursor``, ``include_total``."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse

from apps.core.errors import BadRequest, Example, UserError
from apps.core.pagination import page as read_page
from apps.core.pagination import page_by_keys
from apps.core.schemas import Schema

from .endpoints import respond
from .schemas.common import Page

M = TypeVar("M", bound=Model)

PARAMETERS = ("limit", "cursor", "include_total")
MAX_LIMIT = 1000
DEFAULT_LIMIT = 50
CODES = ("bad_request", "invalid_cursor", "repeated_parameter")
"""What a list may be rejected with."""


def answer(
    request: HttpRequest,
    rows: QuerySet[M],
    *,
    order: Sequence[str],
    page: type[Page[Any]],
    show: Callable[[M], Schema],
    **more: Any,
) -> HttpResponse:
    """Return one page of rows, with ``total`` where it is asked for and ``more`` next to it.

    With ``keys``, the page is found over these, as `page_by_keys` does.
    """
    return answer_together(
        request, rows, order=order, page=page, show=lambda found: list(map(show, found)), **more
    )


def answer_together(
    request: HttpRequest,
    rows: QuerySet[M],
    *,
    order: Sequence[str],
    page: type[Page[Any]],
    show: Callable[[Sequence[M]], Sequence[Schema]],
    keys: QuerySet[M] | None = None,
    **more: Any,
) -> HttpResponse:
    """Do as `answer`, for rows that are shown together because they are read together."""
    cursor, limit = _once(request, "cursor", "") or None, _limit(request)
    if keys is None:
        found = read_page(rows, order=order, cursor=cursor, limit=limit)
    else:
        found = page_by_keys(keys, rows, order=order, cursor=cursor, limit=limit)
    if _wants_total(request):
        more["total"] = (rows if keys is None else keys).order_by().count()
    return respond(page(items=list(show(found.items)), next_cursor=found.next_cursor, **more))


class Repeated(UserError):
    """Raised for a parameter that was given more than once."""

    code = "repeated_parameter"
    example = Example("Give limit once, not 2 times.", {"limit": "Give it once."})


def _once(request: HttpRequest, name: str, otherwise: str) -> str:
    given = request.GET.getlist(name)
    if len(given) > 1:
        raise Repeated(f"Give {name} once, not {len(given)} times.", {name: "Give it once."})
    return given[0] if given else otherwise


def _limit(request: HttpRequest) -> int:
    text = _once(request, "limit", str(DEFAULT_LIMIT))
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= MAX_LIMIT:
        raise BadRequest(
            f"limit must be a whole number from 1 to {MAX_LIMIT:,}, not “{text[:40]}”.",
            {"limit": f"From 1 to {MAX_LIMIT:,}."},
        )
    return int(text)


def _wants_total(request: HttpRequest) -> bool:
    text = _once(request, "include_total", "false")
    if text not in {"true", "false"}:
        message = "include_total must be true or false."
        raise BadRequest(message, {"include_total": message})
    return text == "true"


def only(request: HttpRequest, *known: str) -> None:
    """Raise BadRequest for a query parameter that means nothing here."""
    for name in request.GET:
        if name not in {*PARAMETERS, *known}:
            raise BadRequest(f"Unknown parameter “{name[:80]}”.", {name[:80]: "Unknown."})
