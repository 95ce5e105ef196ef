"""Backfills: preview, start, watch, stop."""

from collections.abc import Callable, Mapping
from typing import Any

from django.db.models import Max
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from ninja import Router

from apps.accounts.actors import Actor, actor_of
from apps.accounts.models import Role
from apps.conversations import filters
from apps.core.errors import BadRequest, UserError
from apps.llm.errors import ErrorCode
from apps.runs import services
from apps.runs.agreement import PreviewOutdated, token_for
from apps.runs.models import ItemState, Run, RunItem
from apps.runs.options import Options, read_options
from apps.runs.preview import make_preview
from apps.runs.serializers import backfill_json, backfills_json, item_json, preview_json

from . import lists
from .errors import read_object, refuse_unknown
from .openapi import Answer, operation
from .parameters import PAGE, parameter
from .shapes import backfills as shapes
from .writes import write

router = Router(tags=["Backfills"])


_OF_BODY = ["bad_request", "invalid_filter", "invalid_options", "not_available"]


@router.post(
    "/preview",
    **operation(
        "previewBackfill",
        "Count and price a backfill",
        takes=shapes.BackfillIn,
        answers={200: Answer(shapes.Preview, "The figures. Nothing was started.")},
        refuses=_OF_BODY,
    ),
)
@write(Role.OPERATOR)
def preview(request: HttpRequest) -> HttpResponse:
    """Starts nothing. Its `token`, given to `POST /api/backfills`, holds the start to these
    figures: it is refused (409 `preview_outdated`) where count, cost or prompts have changed."""
    channel, params, options, _ = _read(request)
    figures = make_preview(channel=channel, params=params, options=options)
    return JsonResponse(preview_json(figures, token=token_for(figures)))


@router.post(
    "",
    **operation(
        "startBackfill",
        "Start a backfill",
        takes=shapes.StartIn,
        answers={
            201: Answer(shapes.Backfill, "The run that was started."),
            200: Answer(shapes.Backfill, "The run that was started before with this token."),
        },
        refuses=[*_OF_BODY, "invalid_token", "nothing_to_analyze", "preview_outdated"],
        refusal_shapes={409: shapes.Outdated},
    ),
)
@write(Role.OPERATOR)
def start(request: HttpRequest) -> HttpResponse:
    """Freezes what matches. It is charged for by every model. The same `token` again answers the
    same backfill."""
    channel, params, options, token = _read(request)
    newest = Run.objects.aggregate(newest=Max("pk"))["newest"] or 0
    try:
        run = services.start(
            channel=channel, params=params, options=options, by=actor_of(request), token=token
        )
    except PreviewOutdated as outdated:
        figures = preview_json(outdated.preview, token=token_for(outdated.preview))
        error = {"code": outdated.code, "message": outdated.message, "fields": {}}
        return JsonResponse({"error": error, "preview": figures}, status=409)
    return JsonResponse(backfill_json(run), status=201 if run.pk > newest else 200)


@router.get(
    "",
    **operation(
        "listBackfills",
        "List backfills",
        query=PAGE,
        answers={200: Answer(shapes.Backfills, "One page of runs.")},
        refuses=["bad_request", "invalid_cursor", "repeated_parameter"],
    ),
)
def many(request: HttpRequest) -> HttpResponse:
    """The newest first."""
    lists.only(request)
    return lists.answer_together(request, Run.objects.all(), order=["-pk"], show=backfills_json)


@router.get(
    "/{backfill_id}",
    **operation("getBackfill", "One backfill", answers={200: Answer(shapes.Backfill, "The run.")}),
)
def one(request: HttpRequest, backfill_id: str) -> HttpResponse:
    """With counts of finished work, failures by cause, and what was used of the estimate."""
    return JsonResponse(backfill_json(_run(backfill_id)))


@router.get(
    "/{backfill_id}/items",
    **operation(
        "listBackfillItems",
        "Items of a backfill",
        query=[
            *PAGE,
            parameter("state", "Only items in this state.", ItemState.values),
            parameter("error_code", "Only items that failed with this code.", ErrorCode.values),
        ],
        answers={200: Answer(shapes.Items, "One page of items.")},
        refuses=["bad_request", "invalid_cursor", "repeated_parameter"],
    ),
)
def items(request: HttpRequest, backfill_id: str) -> HttpResponse:
    """In the order of work; `state` and `error_code` filter."""
    lists.only(request, "state", "error_code")
    rows = RunItem.objects.filter(run=_run(backfill_id))
    rows = rows.select_related("conversation", "analysis")
    if state := request.GET.get("state"):
        if state not in ItemState.values:
            known = ", ".join(ItemState.values)
            raise BadRequest(
                f"state is one of {known}, not “{state[:40]}”.", {"state": f"One of {known}."}
            )
        rows = rows.filter(state=state)
    if code := request.GET.get("error_code"):
        if code not in ErrorCode.values:
            raise BadRequest(
                f"There is no error code “{code[:40]}”.", {"error_code": "One of the closed list."}
            )
        rows = rows.filter(error_code=code)
    return lists.answer(request, rows, order=["pk"], show=item_json)


def _change_of(operation_id: str, summary: str) -> dict[str, Any]:
    return operation(
        operation_id,
        summary,
        answers={200: Answer(shapes.Backfill, "The run as it is now.")},
        refuses=["unknown_keys", "wrong_state"],
        takes=shapes.NothingIn,
    )


@router.post("/{backfill_id}/pause", **_change_of("pauseBackfill", "Pause a backfill"))
@write(Role.OPERATOR)
def pause(request: HttpRequest, backfill_id: str) -> HttpResponse:
    """Takes no more work; what was sent is still recorded."""
    return _change(request, backfill_id, services.pause)


@router.post("/{backfill_id}/resume", **_change_of("resumeBackfill", "Resume a backfill"))
@write(Role.OPERATOR)
def resume(request: HttpRequest, backfill_id: str) -> HttpResponse:
    """Goes on with a paused backfill."""
    return _change(request, backfill_id, services.resume)


@router.post("/{backfill_id}/cancel", **_change_of("cancelBackfill", "Cancel a backfill"))
@write(Role.OPERATOR)
def cancel(request: HttpRequest, backfill_id: str) -> HttpResponse:
    """Skips what waits; results that were made stay."""
    return _change(request, backfill_id, services.cancel)


@router.post("/{backfill_id}/retry_failed", **_change_of("retryFailed", "Retry what failed"))
@write(Role.OPERATOR)
def retry_failed(request: HttpRequest, backfill_id: str) -> HttpResponse:
    """Queues the failed items again, with the configs frozen at the start."""
    return _change(request, backfill_id, services.retry_failed)


class NotAvailable(UserError):
    """Something that this version cannot do yet; it says so instead of ignoring it."""

    code = "not_available"


@router.post(
    "/{backfill_id}/rollback",
    **operation(
        "rollBackBackfill",
        "Roll back (not available yet)",
        takes=shapes.NothingIn,
        answers={},
        refuses=["not_available"],
    ),
)
@write(Role.OPERATOR)
def rollback(request: HttpRequest, backfill_id: str) -> HttpResponse:
    """Refused in this version. A single result is restored on the conversation's page, History."""
    _run(backfill_id)
    raise NotAvailable(
        "Rolling a backfill back is not available in this version of Debrief. Restore a single "
        "result on the History tab of its conversation."
    )


def _change(request: HttpRequest, backfill_id: str, change: Callable[..., Any]) -> HttpResponse:
    refuse_unknown(read_object(request), set())
    run = _run(backfill_id)
    by: Actor = actor_of(request)
    change(run=run, by=by)
    return JsonResponse(backfill_json(_run(backfill_id)))


def _run(backfill_id: str) -> Run:
    return get_object_or_404(Run, public_id=backfill_id)


def _read(request: HttpRequest) -> tuple[str, dict[str, list[str]], Options, str | None]:
    """Channel, filters in normal form, options and token of a body; refuses all else."""
    body = read_object(request)
    channel = body.pop("channel", None)
    if channel not in ("voice", "chat"):
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
    _refuse_unavailable(body)
    params = filters.parse(channel, given).as_params()
    return channel, params, read_options(body), token


def _refuse_unavailable(body: Mapping[str, Any]) -> None:
    """Money limits and the economy lane come later; ignored, they would cost their caller."""
    if body.get("lane") == "economy":
        raise NotAvailable(
            "The economy lane is not available in this version of Debrief: leave lane out.",
            {"lane": "Not available yet."},
        )
    if body.get("budget") not in (None, ""):
        raise NotAvailable(
            "A budget is not available in this version of Debrief: leave it out, and look at the "
            "preview's cost_high.",
            {"budget": "Not available yet."},
        )
