"""Backfills: preview, start, watch, stop."""

from collections.abc import Callable, Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from ninja import Router

from apps.accounts.actors import Actor, actor_of
from apps.accounts.models import Role
from apps.backfills import services
from apps.backfills.agreement import PreviewOutdated, token_for
from apps.backfills.models import Backfill, BackfillItem, ItemState
from apps.backfills.options import Options, read_options
from apps.backfills.presenting import backfill_json, item_json, preview_json
from apps.backfills.preview import make_preview
from apps.conversations import filters
from apps.core.errors import BadRequest

from . import lists
from .docs import BACKFILL, ITEMS
from .errors import read_object
from .writes import write

router = Router(tags=["Backfills"])


@router.post("/preview", openapi_extra=BACKFILL, summary="Count and price a backfill")
@write(Role.OPERATOR)
def preview(request: HttpRequest) -> HttpResponse:
    """Starts nothing. Its `token`, given to `POST /api/backfills`, holds the start to these
    figures: it is refused (409 `preview_outdated`) where count, cost or prompts have changed."""
    channel, params, options, _ = _read(request)
    figures = make_preview(channel=channel, params=params, options=options)
    return JsonResponse(preview_json(figures, token=token_for(figures)))


@router.post("", openapi_extra=BACKFILL, summary="Start a backfill")
@write(Role.OPERATOR)
def start(request: HttpRequest) -> HttpResponse:
    """Freezes what matches. It is charged for by every model. The same `token` again answers the
    same backfill."""
    channel, params, options, token = _read(request)
    try:
        run = services.start(
            channel=channel, params=params, options=options, by=actor_of(request), token=token
        )
    except PreviewOutdated as outdated:
        figures = preview_json(outdated.preview, token=token_for(outdated.preview))
        error = {"code": outdated.code, "message": outdated.message, "fields": {}}
        return JsonResponse({"error": error, "preview": figures}, status=409)
    return JsonResponse(backfill_json(run), status=201)


@router.get("", summary="List backfills")
def many(request: HttpRequest) -> HttpResponse:
    """The newest first."""
    lists.only(request)
    return lists.answer(request, Backfill.objects.all(), order=["-pk"], show=backfill_json)


@router.get("/{backfill_id}", summary="One backfill")
def one(request: HttpRequest, backfill_id: str) -> HttpResponse:
    """With counts of finished work, failures by cause, and what was used of the estimate."""
    return JsonResponse(backfill_json(_run(backfill_id)))


@router.get("/{backfill_id}/items", openapi_extra=ITEMS, summary="Items of a backfill")
def items(request: HttpRequest, backfill_id: str) -> HttpResponse:
    """In the order of work; `state` and `error_code` filter."""
    lists.only(request, "state", "error_code")
    rows = BackfillItem.objects.filter(backfill=_run(backfill_id))
    rows = rows.select_related("conversation", "analysis")
    if state := request.GET.get("state"):
        if state not in ItemState.values:
            known = ", ".join(ItemState.values)
            raise BadRequest(f"state is one of {known}, not “{state[:40]}”.")
        rows = rows.filter(state=state)
    if code := request.GET.get("error_code"):
        rows = rows.filter(error_code=code.replace("\0", ""))
    return lists.answer(request, rows, order=["pk"], show=item_json)


@router.post("/{backfill_id}/pause", summary="Pause")
@write(Role.OPERATOR)
def pause(request: HttpRequest, backfill_id: str) -> HttpResponse:
    """Takes no more work; what was sent is still recorded."""
    return _change(request, backfill_id, services.pause)


@router.post("/{backfill_id}/resume", summary="Resume")
@write(Role.OPERATOR)
def resume(request: HttpRequest, backfill_id: str) -> HttpResponse:
    """Goes on with a paused backfill."""
    return _change(request, backfill_id, services.resume)


@router.post("/{backfill_id}/cancel", summary="Cancel")
@write(Role.OPERATOR)
def cancel(request: HttpRequest, backfill_id: str) -> HttpResponse:
    """Skips what waits; results that were made stay."""
    return _change(request, backfill_id, services.cancel)


@router.post("/{backfill_id}/retry_failed", summary="Retry what failed")
@write(Role.OPERATOR)
def retry_failed(request: HttpRequest, backfill_id: str) -> HttpResponse:
    """Queues the failed items again, with the configs frozen at the start."""
    return _change(request, backfill_id, services.retry_failed)


def _change(request: HttpRequest, backfill_id: str, change: Callable[..., Any]) -> HttpResponse:
    run = _run(backfill_id)
    by: Actor = actor_of(request)
    change(run=run, by=by)
    return JsonResponse(backfill_json(_run(backfill_id)))


def _run(backfill_id: str) -> Backfill:
    return get_object_or_404(Backfill, public_id=backfill_id)


def _read(request: HttpRequest) -> tuple[str, dict[str, list[str]], Options, str | None]:
    """Channel, filters in normal form, options and token of a body; refuses all else."""
    body = read_object(request)
    channel = body.pop("channel", None)
    if channel not in {"voice", "chat"}:
        raise BadRequest("channel is voice or chat.", {"channel": "voice or chat."})
    given = body.pop("filters", {})
    if not isinstance(given, Mapping):
        raise BadRequest("filters is an object.", {"filters": "An object of filters."})
    token = body.pop("token", None)
    if token is not None and not isinstance(token, str):
        raise BadRequest("token is the text that a preview answered.", {"token": "Text."})
    for name in ("sort", "columns"):
        if name in given:
            raise BadRequest(f"{name} is not a filter.", {name: "Not a filter."})
    params = filters.parse(channel, given).as_params()
    return channel, params, read_options(body), token
