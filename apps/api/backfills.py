"""Backfills: preview, start, watch, stop."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.db.models import Max
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from ninja import Router

from apps.accounts.actors import actor_of
from apps.accounts.models import Role
from apps.analysis.effects import UNLESS_ASKED
from apps.conversations import filters
from apps.core.errors import BadRequest, UserError
from apps.core.schemas import Schema
from apps.llm.caps import check_priced
from apps.llm.errors import ErrorCode
from apps.runs import control, services
from apps.runs.changes import PARAMETERS, changed_items, read_change
from apps.runs.lanes import check_lane
from apps.runs.models import ItemState, Run
from apps.runs.preview import PREVIEW_SECONDS, make_preview
from apps.runs.rollbacks import services as rollbacks
from apps.runs.rollbacks.work import preview_rollback, select
from apps.runs.schemas import BackfillSchema
from apps.runs.services import PreviewOutdated, token_for

from . import lists
from .endpoints import read, respond, write
from .openapi import Answer, operation
from .parameters import PAGE, chosen, parameter
from .schemas import backfills as schemas
from .schemas.common import NothingIn

router = Router(tags=["Backfills"])

_OF_BODY = ("invalid_filter", "not_available", "preview_too_slow", "price_unknown")


@router.post(
    "/preview",
    **operation(
        "previewBackfill",
        "Preview a backfill",
        takes=schemas.BackfillIn,
        answers={200: Answer(schemas.PreviewSchema, "The estimate. Nothing is started.")},
        refuses=_OF_BODY,
    ),
)
@write(Role.OPERATOR)
def preview(request: HttpRequest) -> HttpResponse:
    """Starts nothing. Send its `token` with `POST /api/backfills` to start only with these numbers:
    if count, cost or prompts have changed, the start is rejected (409 `preview_outdated`)."""
    body = read(schemas.BackfillIn, request)
    made = make_preview(
        channel=body.channel,
        params=_filters(body),
        options=body.options(),
        seconds=PREVIEW_SECONDS,
    )
    if made.options.budget is not None:
        check_priced(made.models)
    check_lane(made.options.lane, made.models)
    return respond(schemas.PreviewSchema.from_preview(made, token=token_for(made)))


@router.post(
    "",
    **operation(
        "startBackfill",
        "Start a backfill",
        takes=schemas.StartIn,
        answers={
            201: Answer(BackfillSchema, "The new backfill."),
            200: Answer(BackfillSchema, "The backfill already started with this token."),
        },
        refuses=[*_OF_BODY, "invalid_token", "nothing_to_analyze", "preview_outdated"],
        refusal_schemas={409: schemas.Outdated},
    ),
)
@write(Role.OPERATOR)
def start(request: HttpRequest) -> HttpResponse:
    """Takes a snapshot of the matching conversations and starts analyzing them. Every model is
    charged. Sending the same `token` again returns the same backfill."""
    body = read(schemas.StartIn, request)
    newest = Run.objects.aggregate(newest=Max("pk"))["newest"] or 0
    try:
        run = services.start(
            channel=body.channel,
            params=_filters(body),
            options=body.options(),
            by=actor_of(request),
            token=body.token,
        )
    except PreviewOutdated as outdated:
        made = outdated.preview
        if made is None:
            return _with_preview(outdated, None)
        now = schemas.PreviewSchema.from_preview(made, token=token_for(made))
        return _with_preview(outdated, now)
    return respond(BackfillSchema.from_run(run), 201 if run.pk > newest else 200)


@router.get(
    "",
    **operation(
        "listBackfills",
        "List backfills",
        query=PAGE,
        answers={200: Answer(schemas.Backfills, "One page of runs.")},
        refuses=lists.CODES,
    ),
)
def many(request: HttpRequest) -> HttpResponse:
    """The newest first."""
    lists.only(request)
    return lists.answer_together(
        request,
        Run.objects.lasting(),
        order=["-pk"],
        page=schemas.Backfills,
        show=BackfillSchema.from_runs,
    )


@router.get(
    "/{backfill_id}",
    **operation(
        "getBackfill",
        "Get a backfill",
        answers={200: Answer(BackfillSchema, "The run.")},
    ),
)
def one(request: HttpRequest, backfill_id: str) -> HttpResponse:
    """With its progress, failures by cause, and the usage compared with the estimate."""
    return respond(BackfillSchema.from_run(_run(backfill_id)))


@router.get(
    "/{backfill_id}/report",
    **operation(
        "getBackfillReport",
        "Get the report of a backfill",
        answers={200: Answer(schemas.Report, "The changes of each field.")},
    ),
)
def report(request: HttpRequest, backfill_id: str) -> HttpResponse:
    """What changed in each field, so far if the run is active. A number field has mean, median,
    and histogram before and after, other fields the count of each value, `null` for none. Of text
    and lists, only changed, filled, and emptied values are counted, and the members of lists."""
    return respond(schemas.Report.from_run(_run(backfill_id)))


@router.get(
    "/{backfill_id}/items",
    **operation(
        "listBackfillItems",
        "List items of a backfill",
        query=[
            *PAGE,
            parameter("state", "Only items in this state.", ItemState.values),
            parameter("error_code", "Only items that failed with this code.", ErrorCode.values),
            parameter("changed", "Only items in which this field changed."),
            parameter("unchanged", "Only items in which this field stayed the same."),
            parameter("value", "Only items with a result, for `from` and `to` of this field."),
            parameter("from", "The value of the field before, `null` for none."),
            parameter("to", "The value of the field after, `null` for none."),
            *(
                parameter(f"{side}__{bound}", f"A number {word}: {limit} bound of a range.")
                for side, word in (("from", "before"), ("to", "after"))
                for bound, limit in (
                    ("gte", "the lower"),
                    ("lt", "the upper, exclusive"),
                    ("lte", "the upper, inclusive"),
                )
            ),
        ],
        answers={200: Answer(schemas.Items, "One page of items.")},
        refuses=[*lists.CODES, "invalid_filter"],
    ),
)
def items(request: HttpRequest, backfill_id: str) -> HttpResponse:
    """In the order of work. Filter them with `state` and `error_code`, and by what the run changed
    in a field. `from` and `to`, or a range of them, need one of `changed`, `unchanged`, and
    `value`. A range has `__gte` and one of `__lt` and `__lte`."""
    lists.only(request, "state", "error_code", *PARAMETERS)
    run = _run(backfill_id)
    rows = run.items.all()
    if change := read_change(request.GET.dict()):
        rows = rows.filter(pk__in=changed_items(run, change))
    rows = rows.select_related("conversation", "analysis")
    if state := chosen(request, "state", ItemState.values):
        rows = rows.filter(state__in=run.stored_states(state))
    if code := chosen(request, "error_code", ErrorCode.values):
        rows = rows.filter(error_code=code)
    return lists.answer(
        request, rows, order=["pk"], page=schemas.Items, show=schemas.Item.from_item
    )


def _change_of(operation_id: str, summary: str, *refuses: str) -> dict[str, Any]:
    return operation(
        operation_id,
        summary,
        answers={200: Answer(BackfillSchema, "The updated run.")},
        refuses=["wrong_state", *refuses],
        takes=NothingIn,
    )


@router.post("/{backfill_id}/pause", **_change_of("pauseBackfill", "Pause a backfill"))
@write(Role.OPERATOR)
def pause(request: HttpRequest, backfill_id: str) -> HttpResponse:
    """Stops sending new requests. Requests in progress still finish."""
    return _change(request, backfill_id, control.pause)


@router.post(
    "/{backfill_id}/resume", **_change_of("resumeBackfill", "Resume a backfill", "budget_reached")
)
@write(Role.OPERATOR)
def resume(request: HttpRequest, backfill_id: str) -> HttpResponse:
    """Resumes a paused backfill. Where its budget is spent, change that first."""
    return _change(request, backfill_id, control.resume)


@router.post("/{backfill_id}/cancel", **_change_of("cancelBackfill", "Cancel a backfill"))
@write(Role.OPERATOR)
def cancel(request: HttpRequest, backfill_id: str) -> HttpResponse:
    """Skips pending items. Completed results stay."""
    return _change(request, backfill_id, control.cancel)


@router.post("/{backfill_id}/retry_failed", **_change_of("retryFailed", "Retry failed items"))
@write(Role.OPERATOR)
def retry_failed(request: HttpRequest, backfill_id: str) -> HttpResponse:
    """Queues the failed items again, with the prompts from the start of the backfill."""
    return _change(request, backfill_id, control.retry_failed)


@router.post(
    "/{backfill_id}/budget",
    **operation(
        "changeBackfillBudget",
        "Change the budget of a backfill",
        takes=schemas.BudgetIn,
        answers={200: Answer(BackfillSchema, "The updated run.")},
        refuses=["price_unknown", "wrong_state"],
    ),
)
@write(Role.OPERATOR)
def budget(request: HttpRequest, backfill_id: str) -> HttpResponse:
    """Sets the limit, or removes it with `null`. A backfill that is paused for its budget resumes
    if the new one allows it."""
    run = _run(backfill_id)
    body = read(schemas.BudgetIn, request)
    amount = None if body.budget is None else Decimal(body.budget)
    control.change_budget(run=run, budget=amount, by=actor_of(request))
    return respond(BackfillSchema.from_run(_run(backfill_id)))


@router.post(
    "/{backfill_id}/rollback",
    **operation(
        "rollBackBackfill",
        "Roll back a backfill",
        takes=schemas.RollbackIn,
        answers={
            202: Answer(BackfillSchema, "The rollback, a run of its own."),
            200: Answer(schemas.RollbackPreviewSchema, "With `preview`: the counts."),
        },
        refuses=[
            *("invalid_filter", "invalid_token", "nothing_to_restore", "preview_outdated"),
            *("invalid_side_effects", "wrong_state"),
        ],
        refusal_schemas={409: schemas.RollbackOutdatedSchema},
    ),
)
@write(Role.OPERATOR)
def rollback(request: HttpRequest, backfill_id: str) -> HttpResponse:
    """Makes the previous results current again, where the results of this run still are.
    Conversations analyzed or restored since are left alone, and their items say so. No model is
    asked."""
    body = read(schemas.RollbackIn, request)
    selection = select(_run(backfill_id), body.filters)
    if body.preview:
        rollbacks.check_rollback(selection.run)
        made = preview_rollback(selection)
        return respond(schemas.RollbackPreviewSchema.from_preview(made))
    try:
        run = rollbacks.start_rollback(
            selection=selection,
            by=actor_of(request),
            token=body.token,
            side_effects=body.side_effects or UNLESS_ASKED,
        )
    except rollbacks.RollbackOutdated as outdated:
        now = schemas.RollbackPreviewSchema.from_preview(outdated.preview)
        return _with_preview(outdated, now)
    return respond(BackfillSchema.from_run(run), 202)


def _change(request: HttpRequest, backfill_id: str, change: Callable[..., Any]) -> HttpResponse:
    read(NothingIn, request)
    change(run=_run(backfill_id), by=actor_of(request))
    return respond(BackfillSchema.from_run(_run(backfill_id)))


def _with_preview(error: UserError, preview: Schema | None) -> HttpResponse:
    """Return the response for an outdated preview, with the current one."""
    body = {"code": error.code, "message": error.message, "fields": error.fields}
    now = preview.as_dict() if preview else None
    return JsonResponse({"error": body, "preview": now}, status=error.status)


def _run(backfill_id: str) -> Run:
    return get_object_or_404(Run.objects.lasting(), public_id=backfill_id)


def _filters(body: schemas.BackfillIn) -> dict[str, list[str]]:
    """Return the filters of a body in normal form. Raises FilterError."""
    for name in ("sort", "columns"):
        if name in body.filters:
            raise BadRequest(f"{name} is not a filter.", {name: "Not a filter."})
    return filters.parse(body.channel, body.filters).as_params()
