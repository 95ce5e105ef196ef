"""Items of erased conversations: what they counted and cost stays, their words do not."""

from collections.abc import Sequence

from django.db import connection

# Conversation first: the locks of items follow those of conversations everywhere.
_FORGET = """
UPDATE runs_runitem SET conversation_id = NULL, analysis_id = NULL,
  previous_analysis_id = NULL, error_message = '', not_before = NULL,
  finished_at = coalesce(finished_at, clock_timestamp()),
  state = CASE WHEN state IN ('pending', 'running') THEN 'skipped' ELSE state END
WHERE conversation_id = ANY(%s)
"""


def forget(conversation_ids: Sequence[int]) -> None:
    """Cut the items of these conversations loose, so that the counts of their runs stay true.

    An item that was not finished is skipped: nothing is left to analyse.
    """
    with connection.cursor() as cursor:
        cursor.execute(_FORGET, [list(conversation_ids)])
