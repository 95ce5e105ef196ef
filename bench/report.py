"""S8 of docs/benchmarks.md: the report of a large backfill, and its rollback.

The yardstick of each is one SQL statement: the counts of one field's transitions, and an update
that points each conversation back to its previous result.
"""

import sys
import time
from typing import Any

from bench.ground import seconds, services, until, workers

ITEMS = 100_000
GOAL_REPORT, GOAL_ROLLBACK = 2.0, 20.0

_TRANSITIONS = """
SELECT p.output -> 'call_successful', a.output -> 'call_successful', count(*)
FROM runs_runitem i JOIN analysis_analysis a ON a.id = i.analysis_id
LEFT JOIN analysis_analysis p ON p.id = i.previous_analysis_id
WHERE i.run_id = %s GROUP BY 1, 2
"""
_BACK = """
UPDATE conversations_conversation c SET analysis_data = p.output,
  summary = p.output ->> 'call_summary'
FROM runs_runitem i JOIN analysis_analysis p ON p.id = i.previous_analysis_id
WHERE i.run_id = %s AND c.id = i.conversation_id
"""


def main(items: int = ITEMS) -> list[tuple[str, ...]]:
    """Return the rows of the report and of the rollback."""
    with services():
        return _measure(items)


def _measure(items: int) -> list[tuple[str, ...]]:
    from django.db import connection, transaction

    from apps.accounts.actors import Actor
    from apps.runs.report import report_of
    from apps.runs.rollbacks.services import start_rollback
    from apps.runs.rollbacks.work import Selection

    run = ended_backfill(items)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
        bare_report = seconds(lambda: cursor.execute(_TRANSITIONS, [run.pk]))
        report = min(seconds(lambda: report_of(run)) for _ in range(3))
        with transaction.atomic():
            bare_back = seconds(lambda: cursor.execute(_BACK, [run.pk]))
            transaction.set_rollback(True)
    with workers(1, concurrency=8):
        time.sleep(5)
        began = time.perf_counter()
        undone = start_rollback(selection=Selection(run), by=Actor.system("bench"))
        freezing = time.perf_counter() - began

        def over() -> bool:
            undone.refresh_from_db()
            return not undone.is_active

        until(over, timeout=300)
        assert undone.started_at is not None
        assert undone.finished_at is not None
        # Not the start of the worker process, which takes seconds on a busy machine.
        rollback = freezing + (undone.finished_at - undone.started_at).total_seconds()
    assert undone.items.filter(state="done").count() == items
    return [
        _row("S8", f"report of {items:,} items", report, bare_report, GOAL_REPORT),
        _row("S8", f"rollback of {items:,} items", rollback, bare_back, GOAL_ROLLBACK),
    ]


def _row(name: str, work: str, ours: float, bare: float, goal: float) -> tuple[str, ...]:
    ratio = f"{ours / bare:.1f}"
    return name, work, f"{ours:.2f} s", f"{bare:.2f} s", ratio, "", f"≤ {goal:.0f} s"


def ended_backfill(items: int) -> Any:
    """Return a completed backfill over so many conversations, written straight into its tables."""
    from django.db import connection

    from apps.accounts.actors import Actor
    from apps.runs import services as run_services
    from apps.runs.freezing import run_freezing
    from apps.runs.models import Run, State
    from apps.runs.options import Options
    from tests.factories import make_agent, make_conversations

    make_conversations(make_agent(), items)
    run: Run = run_services.start(
        channel="voice", params={}, options=Options(), by=Actor.system("bench")
    )
    run_freezing(seconds=600)
    run.refresh_from_db()
    with connection.cursor() as cursor:
        for trigger, current in (("initial", "false"), ("backfill", "true")):
            cursor.execute(
                _RESULTS.format(trigger=trigger, current=current), [run.public_id, run.pk]
            )
        cursor.execute(_SETTLE, [run.pk])
        cursor.execute(_COLUMNS)
    run.state = State.COMPLETED
    run.started_at = run.finished_at = run.created_at
    run.save()
    return run


_RESULTS = """
INSERT INTO analysis_analysis (public_id, conversation_id, config_id, agent_version_id, columns,
  trigger, priority, state, is_current, requested_by, backfill_public_id, output, field_order,
  missing_required, truncated, messages_read, model, raw_output, error_code, error_message,
  request_id, requests, attempts, finished_at)
SELECT 'an_{trigger}' || i.id, i.conversation_id, i.config_id, i.agent_version_id,
  '{{"summary": "call_summary", "outcome": "call_successful", "sentiment": "user_sentiment"}}',
  '{trigger}', 'backfill', 'succeeded', {current}, 'bench',
  CASE '{trigger}' WHEN 'backfill' THEN %s ELSE '' END,
  jsonb_build_object('call_summary', repeat('The caller asked for a refund. ', 8) || '{trigger}',
    'call_successful', (i.id + length('{trigger}')) %% 3 = 0,
    'user_sentiment', (ARRAY['Negative', 'Neutral', 'Positive'])[1 + (i.id * 7) %% 3]),
  '["call_summary", "call_successful", "user_sentiment"]', '[]', false, 3, 'model', '', '', '',
  '', 1, 1, clock_timestamp()
FROM runs_runitem i WHERE i.run_id = %s
"""
_SETTLE = """
UPDATE runs_runitem i SET state = 'done', analysis_id = a.id, previous_analysis_id = p.id,
  previous_state = 'succeeded', changed = true, finished_at = clock_timestamp()
FROM analysis_analysis a, analysis_analysis p
WHERE i.run_id = %s AND a.conversation_id = i.conversation_id AND a.trigger = 'backfill'
  AND p.conversation_id = i.conversation_id AND p.trigger = 'initial'
"""
_COLUMNS = """
UPDATE conversations_conversation c SET analysis_state = 'succeeded', analysis_data = a.output,
  summary = a.output ->> 'call_summary', analyzed_at = a.finished_at, analysis_trigger = 'backfill'
FROM analysis_analysis a WHERE a.conversation_id = c.id AND a.is_current
"""

if __name__ == "__main__":
    for line in main(int(sys.argv[1]) if len(sys.argv) > 1 else ITEMS):
        print(" | ".join(line))
