"""The physical order of columns, on which the time of every statistic depends."""

import pytest
from django.db import connection

from apps.conversations.models import Conversation

LAST = "analyzed_at"


@pytest.mark.django_db
def test_columns_of_statistics_come_before_all_others() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0"
            " ORDER BY attnum",
            [Conversation._meta.db_table],
        )
        columns = [name for (name,) in cursor.fetchall()]
    first = columns[: columns.index(LAST) + 1]
    assert {
        "channel",
        "agent_id",
        "status",
        "sort_at",
        "duration_ms",
        "message_count",
        "analysis_state",
        "analysis_reason",
        "analysis_config_id",
        "analysis_data",
        "analysis_cost",
        "successful",
        "sentiment",
    } <= set(first)
    assert not {"summary", "from_number", "external_id"} & set(first)
    # Estimates of runs read it of every conversation that matches.
    assert columns.index("route") < columns.index("analysis_data")
