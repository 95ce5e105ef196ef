"""Backfills as the API and the commands show them."""

from collections.abc import Sequence
from typing import Any

from .failures import failures_of_each
from .models import Run, RunItem
from .preview import Preview
from .progress import Progress, progress_of_each


def preview_json(preview: Preview, *, token: str) -> dict[str, Any]:
    """A preview's answer; ``not_analyzable_reasons`` and ``agents`` say what the counts hold."""
    return {
        "matching": preview.matching,
        "already_analyzed": preview.already_analyzed,
        "not_analyzable": preview.not_analyzable_total,
        "not_analyzable_reasons": dict(preview.not_analyzable),
        "left_out": [{"reason": why, "count": n} for why, n in preview.left_out],
        "to_analyze": preview.to_analyze,
        "agents": [
            {
                "label": group.label,
                "config": group.plan.config.name,
                "model": group.plan.config.model.name,
                "to_analyze": group.to_analyze,
                "already_analyzed": group.already,
            }
            for group in preview.groups
        ],
        "estimate": preview.estimate_json(),
        "as_of": preview.as_of.isoformat(),
        "token": token,
    }


def backfill_json(run: Run) -> dict[str, Any]:
    """One run with its counts, failures, estimate and what it used."""
    return backfills_json([run])[0]


def backfills_json(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Some runs, in two queries however many there are."""
    progress, failures = progress_of_each(runs), failures_of_each(runs)
    return [_backfill_json(run, progress[run.pk], failures[run.pk]) for run in runs]


def _backfill_json(run: Run, progress: Progress, failures: dict[str, int]) -> dict[str, Any]:
    return {
        "id": run.public_id,
        "channel": run.channel,
        "state": run.state,
        "reason": run.reason,
        "reason_detail": run.reason_detail,
        "next_attempt_at": run.resume_at,
        "attempts": run.probes,
        "filters": run.filters,
        "options": run.options,
        "counts": progress.counts(),
        "failures": failures,
        "estimate": run.estimate,
        "usage": {
            "input_tokens": progress.input_tokens,
            "output_tokens": progress.output_tokens,
            "cost": None if progress.cost is None else f"{progress.cost:f}",
        },
        "created_by": run.created_by,
        "created_at": run.created_at,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
    }


def item_json(item: RunItem) -> dict[str, Any]:
    """One item; load it with its conversation and analysis. No conversation: it was erased."""
    return {
        "conversation_id": item.conversation.public_id if item.conversation else None,
        "state": item.state,
        "error_code": item.error_code or None,
        "error_message": item.error_message or None,
        "analysis_id": item.analysis.public_id if item.analysis else None,
    }
