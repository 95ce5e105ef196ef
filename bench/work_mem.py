"""What PostgreSQL's `work_mem` does to previews, insights, and sorts of a long history.

Not a goal: docs/operations.md has the numbers. Each setting reads the same, in turn, and the
temporary files that PostgreSQL writes where its memory doesn't suffice are counted.
"""

import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median

from bench.ground import seconds
from bench.history import DAYS, history
from bench.previews import cases

SETTINGS = ("1MB", "4MB", "16MB", "64MB")
ROUNDS = 3
ROWS_OF_PAGE = 50


def main(rows: int = 0) -> list[tuple[str, ...]]:
    """Return a row for each kind of work."""
    with history(rows):
        return [_row(name, work) for name, work in works()]


def works() -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield what pages ask of a long history: estimates, tiles, and lists in an order."""
    from django.http import QueryDict
    from django.utils import timezone

    from apps.insights.scope import read_scope
    from apps.insights.stats import stats_of
    from apps.insights.volume import volume_of
    from apps.runs.options import Options
    from apps.runs.preview import make_preview

    for name, params, _ in cases():
        work = partial(make_preview, channel="voice", params=params, options=Options())
        yield f"estimate: {name}", work
    scope = read_scope(QueryDict(f"days={DAYS}"), now=timezone.now(), channel="voice")
    yield "tile of the volume", _uncached(lambda: volume_of(scope))
    for field in scope.fields.values():
        yield f"tile of {field.name}", _uncached(partial(stats_of, scope, field))
    for column in ("duration_ms", "analysis_cost"):
        yield f"list by {column}", partial(_longest, column)


def _uncached(work: Callable[[], object]) -> Callable[[], object]:
    from django.core.cache import cache

    def anew() -> None:
        cache.clear()
        work()

    return anew


def _longest(column: str) -> None:
    from apps.conversations.models import Conversation

    rows = Conversation.objects.filter(channel="voice").order_by(f"-{column}", "-pk")
    list(rows.values_list("pk", flat=True)[:ROWS_OF_PAGE])


def _row(name: str, work: Callable[[], object]) -> tuple[str, ...]:
    times: dict[str, list[float]] = defaultdict(list)
    files: dict[str, float] = {}
    for _ in range(ROUNDS):
        for setting in SETTINGS:
            _set(setting)
            before = _temporary_megabytes()
            times[setting].append(seconds(work))
            files[setting] = _temporary_megabytes() - before
    middle = {setting: median(found) for setting, found in times.items()}
    print(name, middle, files, file=sys.stderr, flush=True)
    shown = "; ".join(
        f"{setting} {middle[setting] * 1000:,.0f} ms" + _written(files[setting])
        for setting in SETTINGS
    )
    return "work_mem", name, shown, "", f"{middle['16MB'] / middle['4MB']:.2f}", "", ""


def _written(megabytes: float) -> str:
    return f" and {megabytes:,.0f} MB of files" if megabytes >= 1 else ""


def _set(setting: str) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('work_mem', %s, false)", [setting])


def _temporary_megabytes() -> float:
    """Return what this database wrote to temporary files since it was started."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute(
            "SELECT temp_bytes / 1e6 FROM pg_stat_database WHERE datname = current_database()"
        )
        return float(cursor.fetchone()[0])


if __name__ == "__main__":
    for line in main(int(sys.argv[1]) if len(sys.argv) > 1 else 0):
        print(" | ".join(line))
