"""Items of erased conversations: their counts and costs stay, their words do not."""

from collections.abc import Sequence

from django.db import connection

from .starting import keep_new_items_out

# Conversation first: the locks of items follow those of conversations everywhere.
_FORGET = """
UPDATE runs_runitem SET conversation_id = NULL, analysis_id = NULL,
  previous_analysis_id = NULL, error_message = '', not_before = NULL,
  finished_at = coalesce(finished_at, clock_timestamp()),
  skip_reason = CASE WHEN state IN ('pending', 'running') THEN 'erased' ELSE skip_reason END,
  state = CASE WHEN state IN ('pending', 'running') THEN 'skipped' ELSE state END
WHERE conversation_id = ANY(%s)
"""


_DELETE_TRIALS = """
DELETE FROM runs_runitem i USING runs_run r
WHERE r.id = i.run_id AND r.kind = 'trial' AND i.conversation_id = ANY(%s)
"""


def forget(conversation_ids: Sequence[int]) -> None:
    """Detach backfill items from these conversations, and delete items of test runs.

    The counts of a backfill stay true. An unfinished item is skipped: nothing is left to analyze.
    The conversations are deleted in the same transaction.
    """
    keep_new_items_out()
    with connection.cursor() as cursor:
        cursor.execute(_DELETE_TRIALS, [list(conversation_ids)])
        cursor.execute(_FORGET, [list(conversation_ids)])
