"""Analyses of erased conversations."""

from collections.abc import Sequence

from django.db import connection


def delete_of(conversation_ids: Sequence[int]) -> None:
    """Delete the analyses of these conversations; nothing refers to them any longer.

    Django would look for what does, row by row.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM analysis_analysis WHERE conversation_id = ANY(%s)",
            [list(conversation_ids)],
        )
