"""Backfills as programs read them: in the API, and in the webhook event of a finished one."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from apps.agents.models import Channel
from apps.core.schemas import Count, Json, Money, Schema, Time, eg
from apps.llm.reservations import Balance

from .budgets import balances_of
from .failures import failures_of_each
from .models import Kind, PauseReason, Run, State
from .progress import Progress, progress_of_each


class Estimate(Schema):
    """The expected usage. Money is null where a model has no price."""

    input_tokens: Annotated[Count, eg(1656000)]
    output_tokens: Annotated[Count, eg(82000)]
    cost: Annotated[Money | None, eg("0.79360000")]
    cost_low: Annotated[Money | None, eg("0.67456000")]
    cost_high: Annotated[Money | None, eg("0.91264000")]
    seconds: Annotated[float | None, eg(42.0)]


class Counts(Schema):
    """Items by state."""

    total: Annotated[Count, eg(1284)]
    done: Annotated[Count, eg(301)]
    changed: Annotated[Count, eg(97)]
    unchanged: Annotated[Count, eg(204)]
    skipped: Annotated[Count, eg(0)]
    failed: Annotated[Count, eg(2)]
    running: Annotated[Count, eg(32)]
    pending: Annotated[Count, eg(949)]
    restored: Annotated[Count | None, eg(None)]
    """Of a rollback: results that were put back."""
    left_alone: Annotated[Count | None, eg(None)]
    """Of a rollback: conversations that were not changed. Their items say why."""


class Preparing(Schema):
    """How much of the list of a large run is written. No request is sent before all is."""

    done: Annotated[Count, eg(350000)]
    total: Annotated[Count, eg(1000000)]


class RunUsage(Schema):
    """What a run has used so far."""

    input_tokens: Annotated[Count, eg(391000)]
    output_tokens: Annotated[Count, eg(19300)]
    cost: Annotated[Money | None, eg("0.18728000")]


class BudgetSchema(Schema):
    """The budget of a backfill, with the amounts spent, reserved, and left."""

    limit: Annotated[Money, eg("12.50")]
    spent: Annotated[Money, eg("4.182734400")]
    reserved: Annotated[Money, eg("0.204800000")]
    """The most that the requests in progress may cost."""
    left: Annotated[Money, eg("8.112465600")]

    @classmethod
    def from_balance(cls, balance: Balance) -> Self:
        """Return a balance."""
        names = ("limit", "spent", "reserved", "left")
        return cls(**{name: f"{getattr(balance, name):f}" for name in names})


class BackfillSchema(Schema):
    """One run."""

    id: Annotated[str, eg("bf_2pLmW8rXzT6vKq3nJd0Gya")]
    kind: Annotated[Kind, eg("backfill")]
    of: Annotated[str | None, eg(None)]
    """The run that a rollback undoes."""
    channel: Annotated[Channel, eg("voice")]
    state: Annotated[State, eg("running")]
    reason: Annotated[PauseReason | Literal[""], eg("")]
    """Why it is paused."""
    reason_detail: Annotated[str, eg("")]
    next_attempt_at: Time | None
    """When a run that is paused for its provider retries; null where it waits for a person."""
    attempts: Annotated[Count, eg(0)]
    """Requests to the provider since the run last made progress."""
    filters: Annotated[
        dict[str, list[str]],
        eg({"started_at__gte": ["2025-01-01"]}),
    ]
    options: Annotated[Json, eg({"sample": None, "include_analyzed": False, "lane": "standard"})]
    preparing: Preparing | None
    """Of a run whose list of conversations is still being written; null once it is complete."""
    counts: Counts
    failures: Annotated[dict[str, Count], eg({"timeout": 2})]
    """Failed items by error code."""
    estimate: Estimate
    usage: RunUsage
    budget: Annotated[BudgetSchema | None, eg(None)]
    """Null where no budget is set."""
    created_by: Annotated[str, eg("API key nightly (dbk_a1B2c3D4)")]
    created_at: Annotated[Time, eg("2025-01-18T16:00:09Z")]
    started_at: Annotated[Time | None, eg("2025-01-18T16:00:09.412Z")]
    finished_at: Time | None

    @classmethod
    def from_run(cls, run: Run) -> Self:
        """Return one run with its counts, failures, estimate and usage."""
        return cls.from_runs([run])[0]

    @classmethod
    def from_runs(cls, runs: Sequence[Run]) -> list[Self]:
        """Return some runs, in at most three queries however many there are."""
        progress, failures = progress_of_each(runs), failures_of_each(runs)
        balances = balances_of(runs)
        return [
            cls._of(run, progress[run.pk], failures[run.pk], balances.get(run.public_id))
            for run in runs
        ]

    @classmethod
    def _of(
        cls, run: Run, progress: Progress, failures: dict[str, int], balance: Balance | None
    ) -> Self:
        undoes = run.kind == Kind.ROLLBACK
        return cls(
            id=run.public_id,
            kind=Kind(run.kind),
            of=run.of.public_id if run.of else None,
            channel=Channel(run.channel),
            state=State(run.state),
            reason=PauseReason(run.reason) if run.reason else "",
            reason_detail=run.reason_detail,
            next_attempt_at=run.resume_at,
            attempts=run.probes,
            filters=run.filters,
            options=run.options,
            preparing=Preparing(done=run.frozen, total=run.total) if run.freezing else None,
            counts=Counts(
                **progress.counts(),
                restored=progress.done if undoes else None,
                left_alone=progress.skipped if undoes else None,
            ),
            failures=failures,
            estimate=Estimate(**run.estimate),
            usage=RunUsage(
                input_tokens=progress.input_tokens,
                output_tokens=progress.output_tokens,
                cost=None if progress.cost is None else f"{progress.cost:f}",
            ),
            budget=BudgetSchema.from_balance(balance) if balance else None,
            created_by=run.created_by,
            created_at=run.created_at,
            started_at=run.started_at,
            finished_at=run.finished_at,
        )
