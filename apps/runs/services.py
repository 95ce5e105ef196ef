"""Starting, stopping and continuing backfills."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from functools import partial
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from apps.accounts import audit
from apps.accounts.actors import Actor
from apps.agents.plans import Plan, plans_for_routes
from apps.core.database import TooSlow, time_limit
from apps.core.errors import Conflict, Example, UserError
from apps.core.tasks import enqueue
from apps.llm.caps import BudgetReached
from apps.llm.errors import ErrorCode

from . import agreement, budgets, freezing, retries
from .agreement import Agreement
from .closing import close_finished
from .economy import steps
from .failures import can_change
from .lanes import check_lane, is_economy
from .models import PauseReason, Run, State
from .options import Options, read_options
from .preview import PREVIEW_SECONDS, Preview, PreviewTooSlow, make_preview
from .selection import readings


class NothingToAnalyze(UserError):
    """No conversation would be analysed, so there is nothing to start."""

    code = "nothing_to_analyze"
    example = Example("No conversations match these filters.")


class UnableToChange(Conflict):
    """The run is not in a state in which this can be done."""

    code = "wrong_state"
    example = Example("Only a running backfill can be paused; this one is completed.")


def start(
    *,
    channel: str,
    params: Mapping[str, Sequence[str]],
    options: Options,
    by: Actor,
    token: str | None = None,
) -> Run:
    """Queue a run of what matches; the same run for a second Save of the same form.

    With a ``token`` of a preview, the set is what matched then, and PreviewOutdated is raised
    where count, cost or prompts are no longer what was shown. A short list is frozen here, a long
    one by a worker. Raises FilterError for an unknown or invalid filter, NothingToAnalyze for an
    empty set, and PreviewTooSlow where nothing was agreed to and counting takes too long.
    """
    agreed = agreement.read_token(token) if token else None
    question = agreement.asked(channel, params, options)
    if agreed and agreed.asked == question:
        same = Run.objects.filter(save_token=agreed.nonce).first()
        if same:
            return same
    now = _count_again(channel, params, options, agreed)
    if now:
        _check(now, agreed)
    fields = {
        "channel": channel,
        "filters": {name: list(values) for name, values in params.items()},
        "options": options.as_dict(),
        **_terms(now, agreed),
    }
    budgets.check_plan(fields["plan"], options.budget)
    with transaction.atomic():
        if agreed and now and (twin := _twin(question, now)):
            return twin
        return freezing.begin_once(
            agreed.nonce if agreed else None,
            {**fields, "created_at": timezone.now()},
            by=by,
            verb="backfill.started",
            detail=lambda run: {"conversations": run.total, "cost": run.estimate["cost"]},
        )


def _count_again(
    channel: str,
    params: Mapping[str, Sequence[str]],
    options: Options,
    agreed: Agreement | None,
) -> Preview | None:
    """Count again as of the agreed moment; None where that takes longer than a click may.

    The run, a long one, then keeps to the agreement.
    """
    is_long = agreed is not None and agreed.to_analyze > freezing.AT_ONCE
    ask = partial(
        make_preview,
        channel=channel,
        params=params,
        options=options,
        as_of=agreed.as_of if agreed else None,
        seconds=None if is_long else PREVIEW_SECONDS,
    )
    now = freezing.recount(ask, agreed.to_analyze if agreed else None)
    if now is None and agreed and agreed.asked != agreement.asked(channel, params, options):
        raise PreviewTooSlow
    return now


def _check(now: Preview, agreed: Agreement | None) -> None:
    """Raise where nothing is to be analyzed, the lane is unavailable, or less was agreed to."""
    if agreed:
        agreement.check(agreed, now)
    if not now.to_analyze:
        raise NothingToAnalyze(now.why_nothing)
    check_lane(now.options.lane, now.models)


def _twin(question: str, now: Preview) -> Run | None:
    """A run that is asked the very same and holds all of it: the form was open twice.

    Two Saves of the same question wait for each other here.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [question])
    configs = {group.plan.config.sha256 for group in now.groups if group.to_analyze}
    backfills = Run.objects.backfills().active().exclude(state=State.CANCELLING)
    for run in backfills.order_by("pk"):
        frozen = {entry["config"] for entry in run.plan if entry["sessions"]}
        same = agreement.asked(run.channel, run.filters, read_options(run.options)) == question
        if same and configs <= frozen and _holds_all(run, now):
            return run
    return None


def _holds_all(run: Run, now: Preview) -> bool:
    """Return whether every conversation of a preview is, or will be, an item of a run.

    While it is being frozen: whether none came in since its own moment.
    """
    try:
        with time_limit(freezing.RECOUNT_SECONDS):
            if not run.freezing:
                return now.chosen.all_in(run.pk)
            then = make_preview(
                channel=now.channel, params=now.filters, options=now.options, as_of=run.as_of
            )
            return then.to_analyze == now.to_analyze
    except TooSlow:
        return False  # what both hold is analyzed once


def cancel(*, run: Run, by: Actor) -> None:
    """Stop a run: what waits is skipped, what was sent is still recorded."""
    _move(
        run,
        by,
        "cancelled",
        to=State.CANCELLING,
        allowed=(State.QUEUED, State.RUNNING, State.PAUSED),
    )
    if is_economy(run.options):
        steps.hurry(run)
    if run.total <= freezing.AT_ONCE:
        close_finished()
    else:
        enqueue("runs.sweep")  # counts the items for the event


def pause(*, run: Run, by: Actor) -> None:
    """Take no more work from a run until it is resumed; what was sent is still recorded."""
    _move(
        run,
        by,
        "paused",
        to=State.PAUSED,
        allowed=(State.QUEUED, State.RUNNING),
        reason=PauseReason.BY_USER,
    )
    if is_economy(run.options):
        steps.hurry(run)


def resume(*, run: Run, by: Actor) -> None:
    """Go on with a paused run; one that was paused before it began is queued again.

    Raises BudgetReached where its budget is spent.
    """
    if run.state == State.PAUSED:
        budgets.check_budget(run)
    to = State.RUNNING if run.started_at else State.QUEUED
    _move(run, by, "resumed", to=to, allowed=(State.PAUSED,), resumed_at=timezone.now())
    run.items.stop_waiting()
    freezing.start_work(run)


def change_budget(
    *, run: Run, budget: Decimal | None, by: Actor, seen: budgets.Seen | None = None
) -> None:
    """Set or remove the budget of a backfill, and resume it if it waited for that.

    Raises what `budgets.change_budget` raises.
    """
    budgets.change_budget(run=run, budget=budget, by=by, seen=seen)
    if run.state == State.PAUSED and run.reason == PauseReason.BUDGET:
        with suppress(BudgetReached, UnableToChange):
            resume(run=run, by=by)


def retry_failed(*, run: Run, by: Actor, only_hopeful: bool = False) -> int:
    """Queue the failed items of a run again, with the configs frozen at Save; how many.

    ``only_hopeful`` leaves out those that would fail in the same way again. Those whose
    conversation was erased in the meantime stay failed. A worker queues many.
    """
    hopeless = [code for code in ErrorCode.values if only_hopeful and not can_change(code)]
    with transaction.atomic():
        locked = Run.objects.select_for_update().get(pk=run.pk)
        kind = locked.get_kind_display().lower()
        if locked.state in {State.CANCELLING, State.CANCELLED}:
            raise UnableToChange(
                f"This {kind} was canceled. Start a new one to retry the failures."
            )
        if locked.retry_without is not None:
            raise UnableToChange("Its failed items are being queued again.")
        count = retries.begin(locked, without=hopeless)
        if not count:
            raise UnableToChange(f"This {kind} has no failures to retry.")
        if count > retries.BATCH:
            freezing.freeze_soon()
        else:
            freezing.start_work(locked)
        audit.record(
            by=by, verb=f"{run.kind}.retried", target=run.public_id, detail={"items": count}
        )
        freezing.start_work(locked)
    run.refresh_from_db()
    return count


def _move(
    run: Run,
    by: Actor,
    done: str,
    *,
    to: State,
    allowed: Sequence[State],
    reason: str = "",
    **changes: Any,
) -> None:
    """Compare and set: of two people who click at once, one moves it and one is told."""
    with transaction.atomic():
        moved = Run.objects.filter(pk=run.pk, state__in=allowed).update(
            state=to, reason=reason, reason_detail="", resume_at=None, **changes
        )
        run.refresh_from_db()
        if not moved:
            kind, state = run.get_kind_display().lower(), run.get_state_display().lower()
            verb = done.replace("cancelled", "canceled")
            raise UnableToChange(f"This {kind} is {state}: it can’t be {verb}.")
        audit.record(by=by, verb=f"{run.kind}.{done}", target=run.public_id)


def _terms(now: Preview | None, agreed: Agreement | None) -> dict[str, Any]:
    """Return the plan and the numbers of a run: as counted again, else as agreed to.

    Raises PreviewOutdated where a draft changed since then.
    """
    if now:
        return {
            # Routes with nothing to do as well: a conversation may become stale until the freeze.
            "plan": [_plan_entry(g.route, g.plan, g.to_analyze) for g in now.groups],
            "as_of": now.as_of,
            "estimate": now.estimate_json(),
            "total": now.to_analyze,
        }
    assert agreed is not None
    plans = plans_for_routes(agreed.configs)
    for route, plan in plans.items():
        if plan.problems or plan.config.sha256 != agreed.configs[route]:
            raise agreement.PreviewOutdated(agreement.DRAFT_CHANGED, None)
    return {
        "plan": [_plan_entry(r, plan, agreed.sessions[r]) for r, plan in plans.items()],
        "as_of": agreed.as_of,
        "estimate": dict(agreed.estimate),
        "total": agreed.to_analyze,
    }


def _plan_entry(route: str, plan: Plan, sessions: int) -> dict[str, Any]:
    return {
        "route": route,
        "label": plan.label,
        "agent": plan.version.agent.public_id,
        "agent_version": plan.version.pk,
        "version": plan.version.number,
        "config": plan.config.sha256,
        "model": plan.config.model.name,
        "columns": plan.columns.as_dict(),
        "longest": readings({route: plan})[route].longest,
        "sessions": sessions,
    }
