"""S8 of docs/benchmarks.md, scorecards: a change over many results, its preview, and its rollback.

The yardstick of the preview is one SQL statement that reads the same values. The yardstick of the
recomputation and of the rollback is one that writes the score into each conversation.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

from bench.ground import seconds, services, until, workers
from bench.report import ITEMS, ended_backfill

GOAL_PREVIEW, GOAL_RECOMPUTE, GOAL_ROLLBACK = 2.0, 20.0, 20.0
NAME = "quality"

_READ = """
SELECT analysis_data -> 'quality_passed', analysis_data -> 'call_successful',
  analysis_data ->> 'user_sentiment', duration_ms < 180000, count(*)
FROM conversations_conversation GROUP BY 1, 2, 3, 4
"""
_WRITE = """
UPDATE conversations_conversation SET analysis_data = analysis_data || jsonb_build_object(
  'quality', CASE WHEN analysis_data -> 'call_successful' = 'true' THEN 60 ELSE 40 END)
"""
_VALUES = """
SELECT md5(string_agg(md5(c.analysis_data::text || a.output::text), '' ORDER BY c.id))
FROM conversations_conversation c
JOIN analysis_analysis a ON a.conversation_id = c.id AND a.is_current
"""


def main(items: int = ITEMS) -> list[tuple[str, ...]]:
    """Return the rows of the preview, the recomputation, and the rollback."""
    with services():
        return _measure(items)


def _measure(items: int) -> list[tuple[str, ...]]:
    from django.db import connection, transaction

    from apps.llm.models import Usage
    from apps.runs.derived.services import start_recompute
    from apps.runs.derived.work import preview_recompute
    from apps.runs.rollbacks.services import start_rollback
    from apps.runs.rollbacks.work import Selection

    ended_backfill(items)
    with workers(1, concurrency=8), connection.cursor() as cursor:
        time.sleep(5)
        _run(lambda: start_recompute(field=_scorecard(solved=60), by=_by()))
        cursor.execute("ANALYZE")
        changed = _scorecard(solved=40)
        preview = preview_recompute(changed)
        assert (preview.results, preview.changed) == (items, items)
        previewing = min(seconds(lambda: preview_recompute(changed)) for _ in range(3))
        bare_preview = min(seconds(lambda: cursor.execute(_READ)) for _ in range(3))
        with transaction.atomic():
            bare_write = seconds(lambda: cursor.execute(_WRITE))
            transaction.set_rollback(True)
        before = _values()
        run, recomputing = _run(
            lambda: start_recompute(field=changed, by=_by(), token=preview.token)
        )
        assert run.items.filter(changed=True).count() == items
        assert _values() != before
        undone, undoing = _run(lambda: start_rollback(selection=Selection(run), by=_by()))
    assert undone.items.filter(state="done").count() == items
    assert _values() == before
    assert not Usage.objects.exists()
    return [
        _row(f"preview over {items:,} results", previewing, bare_preview, GOAL_PREVIEW),
        _row(f"recomputing {items:,} results", recomputing, bare_write, GOAL_RECOMPUTE),
        _row(f"rolling back {items:,} results", undoing, bare_write, GOAL_ROLLBACK),
    ]


def _run(start: Callable[[], Any]) -> tuple[Any, float]:
    """Return a completed run and its seconds: to freeze its items, and from its start to its end.

    The time that a busy worker needs to begin isn't part of them.
    """
    from apps.runs.starting import do_batches_soon

    began = time.perf_counter()
    run = start()
    do_batches_soon()
    freezing = time.perf_counter() - began

    def over() -> bool:
        run.refresh_from_db()
        return not run.is_active

    until(over, timeout=300)
    assert run.started_at is not None
    assert run.finished_at is not None
    return run, freezing + (run.finished_at - run.started_at).total_seconds()


def _scorecard(*, solved: int) -> Any:
    """Return the stored scorecard, with these points for a solved call."""
    from apps.conversations.derived.services import save_derived_field

    rules: list[tuple[dict[str, Any], int]] = [
        ({"field": "call_successful", "value": True}, solved),
        ({"field": "user_sentiment", "op": "ne", "value": "Negative"}, 30),
        ({"field": "duration_ms", "op": "lt", "value": 180_000}, 10),
    ]
    points = [
        {"label": f"Check {number}", "when": rule, "points": worth}
        for number, (rule, worth) in enumerate(rules)
    ]
    return save_derived_field(
        name=NAME,
        label="Quality",
        kind="number",
        channel="voice",
        agent=None,
        definition={"scorecard": {"points": points, "pass_mark": 70, "knock_outs": []}},
        by=_by(),
    )


def _by() -> Any:
    from apps.accounts.actors import Actor

    return Actor.system("bench")


def _values() -> str:
    """Return a digest of all values, as the conversations and their results have them."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(_VALUES)
        row = cursor.fetchone()
    assert row is not None
    return str(row[0])


def _row(work: str, ours: float, bare: float, goal: float) -> tuple[str, ...]:
    return "S8", work, f"{ours:.2f} s", f"{bare:.2f} s", f"{ours / bare:.1f}", "", f"≤ {goal:.0f} s"


if __name__ == "__main__":
    for line in main(int(sys.argv[1]) if len(sys.argv) > 1 else ITEMS):
        print(" | ".join(line))
