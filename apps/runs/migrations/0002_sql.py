"""Tie the analyses of run items to their conversation, tally items, and sum up reservations."""

from django.db import migrations

FORWARDS = """
ALTER TABLE runs_runitem ADD CONSTRAINT run_item_{column}_same_conversation
FOREIGN KEY (conversation_id, {column}_id)
REFERENCES analysis_analysis (conversation_id, id) DEFERRABLE INITIALLY DEFERRED
"""

BACKWARDS = """
ALTER TABLE runs_runitem DROP CONSTRAINT run_item_{column}_same_conversation
"""

# What a million items add up to is read every second by each page that shows a run. Summing the
# changes costs each statement one row. Pending items are not counted, so that writing a list of
# them costs nothing (`apps.runs.models.ItemTally`).
_COLUMNS = """run_id, at, running, done, changed, skipped, failed, answered, cost, unpriced,
  input_tokens, output_tokens"""
_SUMS = """run_id, coalesce(max(finished_at), clock_timestamp()),
  sum(n) FILTER (WHERE state = 'running'), sum(n) FILTER (WHERE state = 'done'),
  sum(n) FILTER (WHERE changed), sum(n) FILTER (WHERE state = 'skipped'),
  sum(n) FILTER (WHERE state = 'failed'),
  sum(n) FILTER (WHERE state = 'done' AND input_tokens > 0),
  sum(n * cost), sum(n) FILTER (WHERE cost IS NULL AND input_tokens > 0),
  sum(n * input_tokens::bigint), sum(n * output_tokens::bigint)"""
_READ = "run_id, state, changed, cost, input_tokens, output_tokens"
_ZEROES = ", ".join(f"coalesce(t.{name.strip()}, 0)" for name in _COLUMNS.split(",")[2:])

TALLY = f"""
CREATE FUNCTION runs_tally_updated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO runs_itemtally ({_COLUMNS})
  SELECT t.run_id, t.at, {_ZEROES} FROM (
    SELECT {_SUMS}
    FROM (
      SELECT 1 AS n, {_READ}, finished_at FROM new_items
      UNION ALL SELECT -1, {_READ}, NULL FROM old_items
    ) AS r GROUP BY run_id
  ) AS t({_COLUMNS})
  WHERE ({_ZEROES}) IS DISTINCT FROM (0, 0, 0, 0, 0, 0, 0::numeric, 0, 0::numeric, 0::numeric);
  RETURN NULL;
END $$;

CREATE FUNCTION runs_tally_inserted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO runs_itemtally ({_COLUMNS})
  SELECT t.run_id, t.at, {_ZEROES} FROM (
    SELECT {_SUMS} FROM (SELECT 1 AS n, (NEW).*) AS r GROUP BY run_id
  ) AS t({_COLUMNS});
  RETURN NULL;
END $$;

CREATE TRIGGER run_item_updated AFTER UPDATE ON runs_runitem
REFERENCING NEW TABLE AS new_items OLD TABLE AS old_items
FOR EACH STATEMENT EXECUTE FUNCTION runs_tally_updated();

CREATE TRIGGER run_item_inserted AFTER INSERT ON runs_runitem
FOR EACH ROW WHEN (NEW.state <> 'pending') EXECUTE FUNCTION runs_tally_inserted();
"""

NO_TALLY = """
DROP TRIGGER run_item_updated ON runs_runitem;
DROP TRIGGER run_item_inserted ON runs_runitem;
DROP FUNCTION runs_tally_updated();
DROP FUNCTION runs_tally_inserted();
"""


# The money that is set aside for requests, of all tables with leased rows (`apps.llm.reservations`).
# Only items of active test runs are looked up, so that the table of items needs no further index.
RESERVED = """
CREATE VIEW llm_reserved (agent_id, run_id, amount) AS
SELECT g.public_id, a.backfill_public_id, a.reserved FROM analysis_analysis a
JOIN agents_agentversion v ON v.id = a.agent_version_id JOIN agents_agent g ON g.id = v.agent_id
WHERE a.reserved IS NOT NULL
UNION ALL
SELECT g.public_id, '', i.reserved FROM runs_run r
JOIN runs_runitem i ON i.run_id = r.id AND i.state = 'running' AND i.reserved IS NOT NULL
JOIN agents_agentversion v ON v.id = i.agent_version_id JOIN agents_agent g ON g.id = v.agent_id
WHERE r.kind = 'trial' AND r.state IN ('queued', 'running', 'paused', 'cancelling')
UNION ALL
SELECT '', '', s.reserved FROM mappings_summary s
WHERE s.state IN ('pending', 'running') AND s.reserved IS NOT NULL
UNION ALL
SELECT h.agent_id, h.run_id, h.amount FROM analysis_reservation h
"""


class Migration(migrations.Migration):
    dependencies = [
        ("analysis", "0001_initial"),
        ("mappings", "0001_initial"),
        ("runs", "0001_initial"),
    ]

    operations = [
        *(
            migrations.RunSQL(FORWARDS.format(column=column), BACKWARDS.format(column=column))
            for column in ("analysis", "previous_analysis")
        ),
        migrations.RunSQL(TALLY, NO_TALLY),
        migrations.RunSQL(RESERVED, "DROP VIEW llm_reserved"),
    ]
