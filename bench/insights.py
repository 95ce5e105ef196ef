"""S7 of docs/benchmarks.md: insights over a million conversations of 90 days.

The yardstick of a tile is one plain statement that a person would write for the same figure.
"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Any

from bench.history import DAYS, history

ROUNDS = 3
GOAL_PAINT, GOAL_TILE = 300, 700
_PERIOD = "FROM conversations_conversation WHERE channel = 'voice' AND sort_at >= %s"
_PLAIN = {
    "boolean": "SELECT date_trunc('week', sort_at), count(*) FILTER (WHERE {value} = 'true'),"
    f" count({{value}}) {_PERIOD} GROUP BY 1",
    "choice": f"SELECT date_trunc('week', sort_at), {{value}}, count(*) {_PERIOD} GROUP BY 1, 2",
    "text": f"SELECT date_trunc('week', sort_at), {{value}}, count(*) {_PERIOD} GROUP BY 1, 2",
    "number": "SELECT date_trunc('week', sort_at), avg(({value})::float8), count({value})"
    f" {_PERIOD} GROUP BY 1",
    "list": "SELECT date_trunc('week', sort_at), e, count(*) FROM conversations_conversation c"
    " CROSS JOIN LATERAL jsonb_array_elements_text({value}) AS e"
    " WHERE channel = 'voice' AND sort_at >= %s GROUP BY 1, 2",
}
_VOLUME = (
    "SELECT date_trunc('week', sort_at), analysis_state, count(*), sum(analysis_cost)"
    f" {_PERIOD} GROUP BY 1, 2"
)


def main(rows: int = 0) -> list[tuple[str, ...]]:
    """Return the rows of the first paint, of each tile, and of a whole page."""
    with history(rows):
        return measure()


def measure() -> list[tuple[str, ...]]:
    """Measure over the data that is there, ours and the plain statement in turn."""
    from django.http import QueryDict
    from django.utils import timezone

    from apps.insights.scope import read_scope

    scope = read_scope(QueryDict(f"days={DAYS}"), now=timezone.now(), channel="voice")
    found = [_paint()]
    worst: list[float] = []
    for field in [None, *scope.fields.values()]:
        ours, plain = [], []
        for _ in range(ROUNDS):
            plain.append(_seconds(lambda field=field: _plain(scope, field)))
            ours.append(_seconds(lambda field=field: _tile(scope, field)))
        worst.append(median(ours))
        name = f"tile of {field.name} ({field.type})" if field else "tile of the volume"
        found.append(_row(name, median(ours), median(plain)))
    found.append(_row("every tile of the page, six at a time", _page(scope), sum(worst), goal=""))
    return found


def _paint() -> tuple[str, ...]:
    from django.test import Client

    from apps.accounts.models import Role, User

    client = Client(SERVER_NAME="localhost")
    client.force_login(User.objects.create_user("bench", role=Role.VIEWER))
    paint = [_seconds(lambda: client.get(f"/insights/?days={DAYS}")) for _ in range(ROUNDS + 1)]
    return _row("first paint", median(paint[1:]), None, goal=f"≤ {GOAL_PAINT} ms")


def _tile(scope: Any, field: Any) -> None:
    from django.core.cache import cache

    from apps.insights.stats import stats_of
    from apps.insights.volume import volume_of

    cache.clear()
    _ = volume_of(scope) if field is None else stats_of(scope, field)


def _plain(scope: Any, field: Any) -> None:
    from django.db import connection

    statement = _VOLUME
    if field is not None:
        arrow = "->" if field.type == "list" else "->>"
        value = field.path if field.is_column else f"analysis_data {arrow} '{field.path}'"
        value = f"{value}::text" if field.type == "boolean" else value
        statement = _PLAIN[field.type].format(value=value)
    with connection.cursor() as cursor:
        cursor.execute(statement, [scope.period.start])
        cursor.fetchall()


def _page(scope: Any) -> float:
    """Return the seconds until the last tile is there, asked for as a browser does."""
    from django.core.cache import cache
    from django.db import connections

    from apps.insights.stats import stats_of
    from apps.insights.volume import volume_of

    def tile(field: Any) -> None:
        _ = volume_of(scope) if field is None else stats_of(scope, field)
        connections.close_all()

    cache.clear()
    fields = [None, *scope.fields.values()]
    with ThreadPoolExecutor(6) as pool:
        return _seconds(lambda: list(pool.map(tile, fields)))


def _seconds(work: Any) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _row(
    work: str, ours: float, plain: float | None, goal: str = f"≤ {GOAL_TILE} ms"
) -> tuple[str, ...]:
    bare = "" if plain is None else f"{plain * 1000:,.0f} ms"
    ratio = "" if plain is None else f"{ours / plain:.2f}"
    return "S7", work, f"{ours * 1000:,.0f} ms", bare, ratio, "", goal


if __name__ == "__main__":
    for line in main(int(sys.argv[1]) if len(sys.argv) > 1 else 0):
        print(" | ".join(line))
