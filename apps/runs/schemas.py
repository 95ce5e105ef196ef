"""Backfills as programs read them: in the API, and in the webhook event of a finished one."""

from collections.abc import Sequence
from typing import Literal, Self

from apps.agents.models import Channel
from apps.core.schemas import Count, Json, Money, Schema, Time

from .failures import failures_of_each
from .models import PauseReason, Run, State
from .progress import Progress, progress_of_each


class Estimate(Schema):
    """The expected usage. Money is null where a model has no price."""

    input_tokens: Count
    output_tokens: Count
    cost: Money | None
    cost_low: Money | None
    cost_high: Money | None
    seconds: float | None


class Counts(Schema):
    """Items by state."""

    total: Count
    done: Count
    changed: Count
    unchanged: Count
    skipped: Count
    failed: Count
    running: Count
    pending: Count


class RunUsage(Schema):
    """What a run has used so far."""

    input_tokens: Count
    output_tokens: Count
    cost: Money | None


class BackfillSchema(Schema):
    """One run."""

    example = {
        "id": "bf_2pLmW8rXzT6vKq3nJd0Gya",
        "channel": "voice",
        "state": "running",
        "reason": "",
        "reason_detail": "",
        "next_attempt_at": None,
        "attempts": 0,
        "filters": {"agent": ["agt_7cJkQ2mVfE5wYbR9tHs1Ld"], "started_at__gte": ["2025-01-01"]},
        "options": {"sample": None, "include_analyzed": False, "lane": "standard"},
        "counts": {
            "total": 1284,
            "done": 301,
            "changed": 97,
            "unchanged": 204,
            "skipped": 0,
            "failed": 2,
            "running": 32,
            "pending": 949,
        },
        "failures": {"timeout": 2},
        "estimate": {
            "input_tokens": 1656000,
            "output_tokens": 82000,
            "cost": "0.79360000",
            "cost_low": "0.67456000",
            "cost_high": "0.91264000",
            "seconds": 42.0,
        },
        "usage": {"input_tokens": 391000, "output_tokens": 19300, "cost": "0.18728000"},
        "created_by": "API key nightly (dbk_a1B2c3D4)",
        "created_at": "2025-01-18T16:00:09Z",
        "started_at": "2025-01-18T16:00:09.412Z",
        "finished_at": None,
    }

    id: str
    channel: Channel
    state: State
    reason: PauseReason | Literal[""]
    """Why it is paused."""
    reason_detail: str
    next_attempt_at: Time | None
    """When a run that is paused for its provider retries; null where it waits for a person."""
    attempts: Count
    """Requests to the provider since the run last made progress."""
    filters: dict[str, list[str]]
    options: Json
    counts: Counts
    failures: dict[str, Count]
    """Failed items by error code."""
    estimate: Estimate
    usage: RunUsage
    created_by: str
    created_at: Time
    started_at: Time | None
    finished_at: Time | None

    @classmethod
    def from_run(cls, run: Run) -> Self:
        """Return one run with its counts, failures, estimate and usage."""
        return cls.from_runs([run])[0]

    @classmethod
    def from_runs(cls, runs: Sequence[Run]) -> list[Self]:
        """Return some runs, in two queries however many there are."""
        progress, failures = progress_of_each(runs), failures_of_each(runs)
        return [cls._of(run, progress[run.pk], failures[run.pk]) for run in runs]

    @classmethod
    def _of(cls, run: Run, progress: Progress, failures: dict[str, int]) -> Self:
        return cls(
            id=run.public_id,
            channel=Channel(run.channel),
            state=State(run.state),
            reason=PauseReason(run.reason) if run.reason else "",
            reason_detail=run.reason_detail,
            next_attempt_at=run.resume_at,
            attempts=run.probes,
            filters=run.filters,
            options=run.options,
            counts=Counts(**progress.counts()),
            failures=failures,
            estimate=Estimate(**run.estimate),
            usage=RunUsage(
                input_tokens=progress.input_tokens,
                output_tokens=progress.output_tokens,
                cost=None if progress.cost is None else f"{progress.cost:f}",
            ),
            created_by=run.created_by,
            created_at=run.created_at,
            started_at=run.started_at,
            finished_at=run.finished_at,
        )
