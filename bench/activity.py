"""What a million conversations leave behind: two runs, the ledger, payloads, and deliveries.

Made by SQL from the kept history: `bench.lists` reads the pages over it.
"""

from datetime import timedelta
from typing import Any

HALF = 500_000
"""Items that are done in the run that still runs."""
FAILED = 200

ESTIMATE = {
    "cost": "2100.00",
    "cost_low": "1800.00",
    "cost_high": "2400.00",
    "input_tokens": 1_200_000_000,
    "output_tokens": 160_000_000,
    "seconds": 4000.0,
}

_LIST = """
INSERT INTO runs_runitem (run_id, conversation_id, config_id, agent_version_id, state,
  error_code, error_message)
SELECT %s, id, analysis_config_id, agent_version_id, 'pending', '', ''
FROM conversations_conversation WHERE analysis_state = 'succeeded' ORDER BY id DESC
"""
_DONE = """
UPDATE runs_runitem SET state = 'done', changed = id %% 3 = 0, finished_at = now(),
  cost = 0.0021, input_tokens = 1200, output_tokens = 160
WHERE id IN (SELECT id FROM runs_runitem WHERE run_id = %s ORDER BY id LIMIT %s)
"""
_FAIL = """
UPDATE runs_runitem SET state = 'failed', error_code = 'timeout', finished_at = now()
WHERE id IN (SELECT id FROM runs_runitem WHERE run_id = %s AND state = 'pending'
  ORDER BY id LIMIT %s)
"""
_LEDGER = """
INSERT INTO llm_usage (at, purpose, model_name, trigger, who, agent_id, conversation_id,
  analysis_id, backfill_id, tier, requests, input_tokens, cached_tokens, output_tokens, cost)
SELECT c.analyzed_at, 'analysis', c.analysis_model, c.analysis_trigger, '', a.public_id,
  c.public_id, '', '', '', 1, c.prompt_tokens_est + 900, 0, 160, c.analysis_cost
FROM conversations_conversation c JOIN agents_agent a ON a.id = c.agent_id
WHERE c.analyzed_at IS NOT NULL ORDER BY c.analyzed_at
"""
_SPENDING = """
INSERT INTO llm_spending (day, agent_id, run_id, tier, responses, cost)
SELECT at::date, agent_id, '', '', count(*), sum(cost) FROM llm_usage GROUP BY 1, 2
"""
_PAYLOADS = """
INSERT INTO platforms_intakepayload (source_id, external_id, event, body, state, code, reason,
  conversation_id, received_at)
SELECT %s, external_id, 'call_analyzed', '{"event": "call_analyzed"}',
  CASE WHEN id %% 100 = 0 THEN 'refused' ELSE 'taken' END,
  CASE WHEN id %% 100 = 0 THEN 'unknown_agent' ELSE '' END,
  CASE WHEN id %% 100 = 0 THEN 'No agent has this ID.' ELSE '' END,
  CASE WHEN id %% 100 = 0 THEN NULL ELSE id END, created_at
FROM conversations_conversation ORDER BY created_at
"""
_EVENTS = """
INSERT INTO webhooks_event (public_id, type, conversation_id, payload, created_at)
SELECT 'evt_' || id, 'conversation.analyzed', id, '{"event": "conversation.analyzed"}', analyzed_at
FROM conversations_conversation WHERE analyzed_at IS NOT NULL ORDER BY analyzed_at
"""
_DELIVERIES = """
INSERT INTO webhooks_delivery (endpoint_id, event_id, conversation_key, state, attempts,
  last_status, last_error, request, response, created_at, first_attempt_at, last_attempt_at,
  finished_at)
SELECT %s, id, conversation_id, CASE WHEN id %% 100 = 0 THEN 'failed' ELSE 'delivered' END, 1,
  CASE WHEN id %% 100 = 0 THEN NULL ELSE 200 END,
  CASE WHEN id %% 100 = 0 THEN 'timed out' ELSE '' END, '', '', created_at, created_at,
  created_at, created_at
FROM webhooks_event ORDER BY id
"""
_TABLES = (
    "runs_runitem, llm_usage, llm_spending, platforms_intakepayload, webhooks_event,"
    " webhooks_delivery, runs_run"
)


def make_activity() -> dict[str, str]:
    """Fill the tables; return the public ids of what has pages, by name."""
    from django.db import connection
    from django.utils import timezone

    from apps.platforms.models import IntakeSource
    from tests.factories import make_endpoint

    source = IntakeSource.objects.create(
        kind="retell", name="Retell", secret_encrypted=b"x", created_by="bench"
    )
    endpoint = make_endpoint()
    with connection.cursor() as cursor:
        ended = _run(cursor, state="completed", items=None)
        running = _run(cursor, state="running", items=HALF)
        cursor.execute(_FAIL, [running.pk, FAILED])
        for statement in (_LEDGER, _SPENDING, _EVENTS):
            cursor.execute(statement)
        cursor.execute(_PAYLOADS, [source.pk])
        cursor.execute(_DELIVERIES, [endpoint.pk])
        cursor.execute(f"VACUUM ANALYZE {_TABLES}")
    ended.finished_at = timezone.now() + timedelta(hours=1)
    ended.save(update_fields=["finished_at"])
    return {
        "ended": ended.public_id,
        "running": running.public_id,
        "source": source.public_id,
        "endpoint": endpoint.public_id,
    }


def _run(cursor: Any, *, state: str, items: int | None) -> Any:
    """Make a run of every analyzed conversation, with so many items done (None: all)."""
    from django.utils import timezone

    from apps.runs.models import Run

    now = timezone.now()
    run = Run.objects.create(
        channel="voice", state=state, as_of=now, started_at=now, save_token=f"bench {state}",
        created_by="bench", estimate=ESTIMATE,
        options={"include_analyzed": True},
        finished_at=now if state == "completed" else None,
    )  # fmt: skip
    cursor.execute(_LIST, [run.pk])
    run.total = cursor.rowcount
    run.save(update_fields=["total"])
    cursor.execute(_DONE, [run.pk, run.total if items is None else items])
    return run
