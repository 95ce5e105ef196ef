"""Start a backfill, only as far as its estimate showed.

The token of an estimate carries the question and the numbers. Starting counts again as of the same
moment, and is rejected where the run would do more, cost more or use other prompts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from apps.accounts.actors import Actor
from apps.agents.plans import Plan, plans_for_routes
from apps.core.database import TooSlow, time_limit
from apps.core.display import money
from apps.core.errors import Conflict, Example, UserError

from . import budgets, starting
from .lanes import check_lane
from .models import Kind, Run, State
from .options import Options, read_options
from .preview import PREVIEW_SECONDS, Preview, PreviewTooSlow, make_preview
from .selection import list_candidates, readings
from .starting import question_hash, sign, unsign

DRAFT_CHANGED = "A draft changed after this estimate. Review the new one."


class NothingToAnalyze(UserError):
    """Raised when no conversation would be analyzed, so there is nothing to start."""

    code = "nothing_to_analyze"
    example = Example("No conversations match these filters.")


class PreviewOutdated(Conflict):
    """Raised when Save would do something else than the preview showed.

    ``preview`` has the new numbers, None if counting them took too long.
    """

    code = "preview_outdated"
    example = Example(DRAFT_CHANGED)

    def __init__(self, message: str, preview: Preview | None) -> None:
        super().__init__(message)
        self.preview = preview


@dataclass(frozen=True, slots=True)
class Agreement:
    """The numbers of a token, read back. ``nonce`` is the same for each Save of one form.

    ``configs`` is the hash of the config by route, of the routes that were to analyze, and
    ``conversations`` how many of each. ``estimate`` is `Preview.estimate_json`.
    """

    nonce: str
    asked: str
    as_of: datetime
    to_analyze: int
    cost: Decimal | None
    configs: Mapping[str, str]
    conversations: Mapping[str, int]
    estimate: Mapping[str, Any]


def start(
    *,
    channel: str,
    params: Mapping[str, Sequence[str]],
    options: Options,
    by: Actor,
    token: str | None = None,
) -> Run:
    """Queue a run of the matching conversations, or return the one of an earlier Save of the form.

    With the ``token`` of a preview, the set is the one that matched then, and PreviewOutdated is
    raised if count, cost, or prompts differ from the preview. A short list is frozen here, a long
    one by a worker. Raises FilterError for an unknown or invalid filter, NothingToAnalyze for an
    empty set, and PreviewTooSlow if there is no token and counting takes too long.
    """
    agreed = read_token(token) if token else None
    question = question_of(channel, params, options)
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
        return starting.begin_once(
            agreed.nonce if agreed else None,
            {**fields, "created_at": timezone.now()},
            by=by,
            verb="backfill.started",
            detail=lambda run: {"conversations": run.total, "cost": run.estimate["cost"]},
            write=partial(starting.begin_list, write=list_candidates),
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
    is_long = agreed is not None and agreed.to_analyze > starting.AT_ONCE
    ask = partial(
        make_preview,
        channel=channel,
        params=params,
        options=options,
        as_of=agreed.as_of if agreed else None,
        seconds=None if is_long else PREVIEW_SECONDS,
    )
    now = starting.recount(ask, agreed.to_analyze if agreed else None)
    if now is None and agreed and agreed.asked != question_of(channel, params, options):
        raise PreviewTooSlow
    return now


def _check(now: Preview, agreed: Agreement | None) -> None:
    """Raise where nothing is to be analyzed, the lane is unavailable, or less was agreed to."""
    if agreed:
        check(agreed, now)
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
        frozen = {entry["config"] for entry in run.plan if entry["conversations"]}
        same = question_of(run.channel, run.filters, read_options(run.options)) == question
        if same and configs <= frozen and _holds_all(run, now):
            return run
    return None


def _holds_all(run: Run, now: Preview) -> bool:
    """Return whether every conversation of a preview is, or will be, an item of a run.

    While it is being frozen: whether none came in since its own moment.
    """
    try:
        with time_limit(starting.RECOUNT_SECONDS):
            if not run.freezing:
                return now.chosen.all_in(run.pk)
            then = make_preview(
                channel=now.channel, params=now.filters, options=now.options, as_of=run.as_of
            )
            return then.to_analyze == now.to_analyze
    except TooSlow:
        return False  # what both hold is analyzed once


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
            raise PreviewOutdated(DRAFT_CHANGED, None)
    return {
        "plan": [_plan_entry(r, plan, agreed.conversations[r]) for r, plan in plans.items()],
        "as_of": agreed.as_of,
        "estimate": dict(agreed.estimate),
        "total": agreed.to_analyze,
    }


def _plan_entry(route: str, plan: Plan, conversations: int) -> dict[str, Any]:
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
        "conversations": conversations,
    }


def token_for(preview: Preview) -> str:
    """Return the token behind the Save button of a preview."""
    return sign(
        {
            "asked": question_of(preview.channel, preview.filters, preview.options),
            "as_of": preview.as_of.isoformat(),
            "to_analyze": preview.to_analyze,
            "cost": None if preview.estimate.cost is None else str(preview.estimate.cost),
            "configs": _configs(preview),
            "conversations": {g.route: g.to_analyze for g in preview.groups if g.to_analyze},
            "estimate": preview.estimate_json(),
        },
        kind=Kind.BACKFILL,
    )


def read_token(token: str) -> Agreement:
    """Return the agreement of a token. Raises InvalidToken."""
    data = unsign(token, kind=Kind.BACKFILL)
    cost = data.pop("cost")
    return Agreement(
        **{**data, "as_of": datetime.fromisoformat(data["as_of"])},
        cost=None if cost is None else Decimal(cost),
    )


def question_of(channel: str, filters: Mapping[str, Sequence[str]], options: Options) -> str:
    """Return the `question_hash` of a backfill. A budget asks for nothing more."""
    return question_hash(channel, filters, replace(options, budget=None).as_dict())


def check(agreement: Agreement, preview: Preview) -> None:
    """Raise PreviewOutdated if the numbers grew or the prompts changed since the preview."""
    if agreement.asked != question_of(preview.channel, preview.filters, preview.options):
        raise PreviewOutdated(
            "The filters changed after this estimate. Review the new one.",
            preview,
        )
    if _edited(agreement.configs, _configs(preview)):
        raise PreviewOutdated(DRAFT_CHANGED, preview)
    if preview.to_analyze > agreement.to_analyze:
        raise PreviewOutdated(
            f"Now {preview.to_analyze:,} conversations match (was {agreement.to_analyze:,}). "
            "Review the new estimate.",
            preview,
        )
    if _grew(agreement.cost, preview.estimate.cost):
        raise PreviewOutdated(
            f"The estimated cost is now {money(preview.estimate.cost)} "
            f"(was {money(agreement.cost)}). Review it before starting.",
            preview,
        )


def _grew(before: Decimal | None, now: Decimal | None) -> bool:
    """Return whether the price on the page became larger.

    Estimates follow the usage of other runs, so a change below the displayed digits isn't a new
    price. A price that became known was accepted while it was unknown.
    """
    if before is None or now is None:
        return before is not None
    return now > before and money(now) != money(before)


def _edited(before: Mapping[str, str], now: Mapping[str, str]) -> bool:
    """Return whether a route has another config than in the preview. Fewer routes are fine."""
    shown = set(before.values())
    return any(
        before.get(route, config if config in shown else "") != config
        for route, config in now.items()
    )


def _configs(preview: Preview) -> dict[str, str]:
    return {g.route: g.plan.config.sha256 for g in preview.groups if g.to_analyze}
