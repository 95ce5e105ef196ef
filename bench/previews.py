"""S3 of docs/benchmarks.md: the preview of a backfill over a million conversations.

Each filter is asked for three times, in turn with its yardstick: the same count and the same sums
as one plain statement.
"""

import sys
from collections.abc import Iterator
from datetime import timedelta
from statistics import median

from bench.ground import seconds
from bench.history import history

ROUNDS = 3
GOAL_COUNT, GOAL_SEARCH, GOAL_MONEY = 200, 500, 800

#: Name, filters, and the condition that a person would write.
CASES: tuple[tuple[str, dict[str, list[str]], str], ...] = (
    ("all", {}, "true"),
    (
        "a date range",
        {"started_at__between": ["{month_ago},{week_ago}"]},
        "c.started_at >= '{month_ago}' AND c.started_at <= '{week_ago}'",
    ),
    (
        "a choice field",
        {"analysis.topic": ["billing"]},
        """c.analysis_data @> '{{"topic": "billing"}}'""",
    ),
    (
        "a number field",
        {"analysis.overall_score__gte": ["80"]},
        (
            "jsonb_typeof(c.analysis_data -> 'overall_score') = 'number'"
            " AND (c.analysis_data ->> 'overall_score')::numeric >= 80"
        ),
    ),
    (
        "metadata",
        {"metadata.campaign": ["spring"]},
        (
            "EXISTS (SELECT 1 FROM conversations_attributes a WHERE a.conversation_id = c.id"
            """ AND a.metadata @> '{{"campaign": "spring"}}')"""
        ),
    ),
    (
        "a list",
        {"analysis.compliance_issues__contains": ["rude"]},
        """c.analysis_data @> '{{"compliance_issues": ["rude"]}}'""",
    ),
    (
        "a search",
        {"q": ["word7 router"]},
        (
            "EXISTS (SELECT 1 FROM conversations_searchtext s WHERE s.conversation_id = c.id"
            " AND s.words @@ 'word7:* & router:*'::tsquery)"
        ),
    ),
    (
        "three rows",
        {
            "started_at__gte": ["{month_ago}"],
            "analysis.topic": ["billing"],
            "duration_ms__gte": ["60000"],
        },
        (
            "c.started_at >= '{month_ago}' AND c.duration_ms >= 60000"
            """ AND c.analysis_data @> '{{"topic": "billing"}}'"""
        ),
    ),
)
_COUNT = "SELECT count(*) FROM conversations_conversation c WHERE c.channel = 'voice' AND {where}"
_SUMS = """
SELECT route, analysis_config_id, count(*), sum(prompt_tokens_est), max(prompt_tokens_est)
FROM conversations_conversation c
WHERE c.channel = 'voice' AND has_speech AND status = 'ended' AND {where} GROUP BY 1, 2
"""


def main(rows: int = 0) -> list[tuple[str, ...]]:
    """Return a row for the count and one for the estimate of each filter."""
    with history(rows):
        return [row for case in cases() for row in _measure(*case)]


def cases() -> Iterator[tuple[str, dict[str, list[str]], str]]:
    """Yield each name, its filters, and its condition, with the dates of today."""
    from django.utils import timezone

    today = timezone.now()
    days = {
        "month_ago": f"{today - timedelta(days=30):%Y-%m-%d}",
        "week_ago": f"{today - timedelta(days=7):%Y-%m-%d}",
    }
    for name, filters, where in CASES:
        params = {key: [value.format(**days) for value in found] for key, found in filters.items()}
        yield name, params, where.format(**days)


def _measure(name: str, params: dict[str, list[str]], where: str) -> list[tuple[str, ...]]:
    from apps.runs.options import Options
    from apps.runs.preview import count_matching, make_preview

    times: dict[str, list[float]] = {"plain count": [], "count": [], "plain sums": [], "sums": []}
    for _ in range(ROUNDS):
        times["plain count"].append(seconds(lambda: _plain(_COUNT.format(where=where))))
        times["count"].append(seconds(lambda: count_matching(channel="voice", params=params)))
        times["plain sums"].append(seconds(lambda: _plain(_SUMS.format(where=where))))
        times["sums"].append(
            seconds(lambda: make_preview(channel="voice", params=params, options=Options()))
        )
    middle = {key: median(values) for key, values in times.items()}
    goal = GOAL_SEARCH if "q" in params else GOAL_COUNT
    return [
        _row(f"count: {name}", middle["count"], middle["plain count"], goal),
        _row(f"estimate: {name}", middle["sums"], middle["plain sums"], GOAL_MONEY),
    ]


def _plain(statement: str) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(statement)
        cursor.fetchall()


def _row(work: str, ours: float, plain: float, goal: int) -> tuple[str, ...]:
    return (
        "S3",
        work,
        f"{ours * 1000:,.0f} ms",
        f"{plain * 1000:,.0f} ms",
        f"{ours / plain:.2f}",
        "",
        f"≤ {goal} ms",
    )


if __name__ == "__main__":
    for line in main(int(sys.argv[1]) if len(sys.argv) > 1 else 0):
        print(" | ".join(line))
