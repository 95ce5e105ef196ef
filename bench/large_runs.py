"""S4 of docs/benchmarks.md: saving, canceling, and retrying a backfill of a million conversations.

The yardsticks are one plain INSERT … SELECT of the same list into a table of six columns with a
primary key, and one plain UPDATE of its rows.
"""

import sys
import time
from typing import Any

from bench.ground import seconds, until, workers
from bench.history import history

FAILED = 100_000
GOAL_CLICK, GOAL_FROZEN, GOAL_CANCELED, GOAL_RETRIED = 1.0, 10.0, 2.0, 2.0

_PLAIN_INSERT = """
INSERT INTO plain_items (run_id, conversation_id, config_id, agent_version_id, state)
SELECT 0, id, analysis_config_id, agent_version_id, 'pending'
FROM conversations_conversation WHERE channel = 'voice' AND has_speech AND status = 'ended'
"""
_PLAIN_TABLE = """
CREATE TABLE plain_items (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, run_id bigint,
  conversation_id bigint, config_id bigint, agent_version_id bigint, state text)
"""
_PLAIN_UPDATE = "UPDATE plain_items SET state = 'skipped'"
_FAIL = """
UPDATE runs_runitem SET state = 'failed', error_code = 'timeout', finished_at = now()
WHERE id IN (SELECT id FROM runs_runitem WHERE run_id = %s ORDER BY id LIMIT %s)
"""


def main(rows: int = 0) -> list[tuple[str, ...]]:
    """Return the rows of Save, freezing, Cancel, and Retry failed."""
    with history(rows):
        return _measure()


def _measure() -> list[tuple[str, ...]]:
    from django.db import connection

    from apps.accounts.actors import Actor
    from apps.runs import control, services
    from apps.runs.models import Run, State
    from apps.runs.options import Options
    from apps.runs.preview import make_preview
    from apps.runs.services import token_for

    by = Actor.system("bench")
    with connection.cursor() as cursor:
        cursor.execute(_PLAIN_TABLE)
        insert = seconds(lambda: cursor.execute(_PLAIN_INSERT))
        update = seconds(lambda: cursor.execute(_PLAIN_UPDATE))
        with workers(1, concurrency=8):
            time.sleep(8)
            shown = make_preview(channel="voice", params={}, options=Options())
            ask: dict[str, Any] = {"channel": "voice", "params": {}, "options": Options()}
            began = time.perf_counter()
            run = services.start(**ask, by=by, token=token_for(shown))
            save = time.perf_counter() - began
            control.pause(run=run, by=by)  # it asks no model, and is frozen all the same

            until(lambda: not Run.objects.get(pk=run.pk).freezing, timeout=300)
            freeze = time.perf_counter() - began
            run.refresh_from_db()

            cursor.execute(_FAIL, [run.pk, FAILED])
            began = time.perf_counter()
            control.retry_failed(run=run, by=by)
            retry_click = time.perf_counter() - began
            until(lambda: Run.objects.get(pk=run.pk).retry_without is None, timeout=300)
            retry = time.perf_counter() - began
            began = time.perf_counter()
            control.cancel(run=run, by=by)
            click = time.perf_counter() - began
            until(lambda: Run.objects.get(pk=run.pk).state == State.CANCELLED, timeout=300)
            cancel = time.perf_counter() - began
    items = f"{run.total:,} items"
    return [
        _row(f"Save, the click: {items}", save, None, GOAL_CLICK),
        _row(f"Save, the list complete: {items}", freeze, insert, GOAL_FROZEN),
        _row(f"Cancel, the click: {items}", click, None, GOAL_CLICK),
        _row(f"Cancel, the run canceled: {items}", cancel, update, GOAL_CANCELED),
        _row("Retry failed, the click", retry_click, None, GOAL_CLICK),
        _row(f"Retry failed: {min(FAILED, run.total):,} items", retry, None, GOAL_RETRIED),
    ]


def _row(work: str, ours: float, plain: float | None, goal: float) -> tuple[str, ...]:
    bare = "" if plain is None else f"{plain:.2f} s"
    ratio = "" if plain is None else f"{ours / plain:.1f}"
    return "S4", work, f"{ours:.2f} s", bare, ratio, "", f"≤ {goal:.0f} s"


if __name__ == "__main__":
    for line in main(int(sys.argv[1]) if len(sys.argv) > 1 else 0):
        print(" | ".join(line))
