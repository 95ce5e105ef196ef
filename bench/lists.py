"""S5 of docs/benchmarks.md: pages and the API over a million conversations.

Each mix of filter and sort is asked for as a history page and as `GET /api/conversations`, in turn
with its yardstick: the statement that finds the keys of the same rows. The ratio is the API's
time to the page's. Times are the second worst of twenty requests, in the process.
"""

import math
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from bench.activity import make_activity
from bench.ground import seconds
from bench.history import history

ROUNDS = int(os.environ.get("BENCH_ROUNDS") or 20)
GOAL, GOAL_SORT, GOAL_POLL, MOST_QUERIES = 100, 400, 20, 12
DEEP = 500_000


@dataclass(frozen=True, slots=True)
class Mix:
    """A filter with a sort: its query, and the condition and order that a person would write."""

    name: str
    query: str
    where: str = "true"
    order: str = "sort_at DESC, id DESC"
    goal: int = GOAL


_DATA = "analysis_data"
_WORDS = (
    "id IN (SELECT conversation_id FROM conversations_searchtext"
    " WHERE words @@ '{0}'::tsquery OR summary_words @@ '{0}'::tsquery)"
)
_LONGEST = "duration_ms DESC NULLS LAST, id DESC"
MIXES = (
    Mix("newest first", ""),
    Mix("oldest first", "sort=started_at", order="sort_at, id"),
    Mix("longest first", "sort=-duration_ms", order=_LONGEST, goal=GOAL_SORT),
    Mix("dearest first", "sort=-analysis_cost", order="analysis_cost DESC NULLS LAST, id DESC",
        goal=GOAL_SORT),
    Mix("an agent", "agent={agent}", "agent_id = {agent_pk}"),
    Mix("an agent, a month, longest first",
        "agent={agent}&started_at__gte={month_ago}&sort=-duration_ms",
        "agent_id = {agent_pk} AND sort_at >= '{month_ago}'", _LONGEST, GOAL_SORT),
    Mix("failed", "analysis_state=failed", "analysis_state = 'failed'"),
    Mix("failed, longest first", "analysis_state=failed&sort=-duration_ms",
        "analysis_state = 'failed'", _LONGEST, GOAL_SORT),
    Mix("negative, unsuccessful", "user_sentiment=Negative&call_successful=false",
        "lower(sentiment) = 'negative' AND NOT successful"),
    Mix("a week, over a minute", "started_at__gte={week_ago}&duration_ms__gte=60000",
        "sort_at >= '{week_ago}' AND duration_ms >= 60000"),
    Mix("a choice field", "analysis.topic=billing", _DATA + """ @> '{{"topic": "billing"}}'"""),
    Mix("a choice field, longest first", "analysis.topic=billing&sort=-duration_ms",
        _DATA + """ @> '{{"topic": "billing"}}'""", _LONGEST, GOAL_SORT),
    Mix("a number field", "analysis.overall_score__gte=98",
        f"({_DATA} ->> 'overall_score')::numeric >= 98"),
    Mix("a list", "analysis.compliance_issues__contains=rude",
        _DATA + """ @> '{{"compliance_issues": ["rude"]}}'"""),
    Mix("metadata", "metadata.campaign=spring",
        "EXISTS (SELECT 1 FROM conversations_attributes a WHERE a.conversation_id = c.id"
        """ AND a.metadata @> '{{"campaign": "spring"}}')"""),
    Mix("either of two", "any1.analysis.topic=billing&any1.user_sentiment=Negative",
        "(" + _DATA + """ @> '{{"topic": "billing"}}' OR lower(sentiment) = 'negative')"""),
    Mix("words in summaries", "call_summary__contains=invoice",
        "summary ILIKE '%%invoice%%'", goal=GOAL_SORT),
    Mix("a phone number", "from_number={phone}", "from_number = '{phone}'"),
    Mix("the number called", "to_number=%2B15550200302", "to_number = '+15550200302'"),
    Mix("beginning of a number", "from_number__startswith={start}",
        "from_number LIKE '{start}%%'"),
    Mix("an ID", "id={id}", "public_id = '{id}'"),
    Mix("an external ID", "external_id={external}", "external_id = '{external}'"),
    Mix("a search", "q=word7+router", _WORDS.format("word7:* & router:*"), goal=GOAL_SORT),
    Mix("a rare search", "q=word19998", _WORDS.format("word19998:*"), goal=GOAL_SORT),
    Mix("a search without a hit", "q=zzyzx+router", _WORDS.format("zzyzx:* & router:*"),
        goal=GOAL_SORT),
    Mix("a Chinese search", "q=取消套餐", _WORDS.format("取消 & 消套 & 套餐"), goal=GOAL_SORT),
    Mix("a number searched", "q={phone}", _WORDS.format("{digits}"), goal=GOAL_SORT),
)  # fmt: skip
_PLAIN = (
    "SELECT id FROM conversations_conversation c WHERE channel = 'voice' AND {where}"
    " ORDER BY {order} LIMIT 51"
)
#: Name, path, and milliseconds of the goal.
PAGES = (
    ("page of agents", "/agents/", GOAL),
    ("page of backfills", "/backfills/", GOAL),
    ("page of a running backfill", "/backfills/{running}/", GOAL),
    ("poll of a running backfill", "/backfills/{running}/progress/", GOAL_POLL),
    ("page of an ended backfill", "/backfills/{ended}/", GOAL),
    ("failed items", "/backfills/{running}/?state=failed", GOAL),
    ("page of intake", "/intake/", GOAL),
    ("rejected payloads", "/intake/?state=refused", GOAL),
    ("page of a source", "/intake/sources/{source}/", GOAL),
    ("page of webhooks", "/webhooks/", GOAL),
    ("page of deliveries", "/webhooks/{endpoint}/", GOAL),
    ("failed deliveries", "/webhooks/{endpoint}/?state=failed", GOAL),
    ("page of costs, 30 days", "/costs/", GOAL),
    ("page of costs, 90 days", "/costs/?days=90", GOAL),
    ("conversations of the costs", "/costs/conversations/?days=90", GOAL_SORT),
    ("API: agents", "/api/agents", GOAL),
    ("API: backfills", "/api/backfills", GOAL),
    ("API: items of a backfill", "/api/backfills/{running}/items", GOAL),
    ("API: deliveries", "/api/webhooks/{endpoint}/deliveries", GOAL),
)


def main(rows: int = 0) -> list[tuple[str, ...]]:
    """Return a row for each mix, for deep pages, and for each other list."""
    os.environ["API_RATE_LIMITS"] = "read=0"
    with history(rows):
        return list(measure(make_activity()))


def measure(named: dict[str, str]) -> Iterator[tuple[str, ...]]:
    """Measure over the data that is there; ``named`` has the public ids of its activity."""
    get = Requests()
    values = _values() | named
    only = os.environ.get("BENCH_ONLY", "")
    yield from (_mix(mix, values, get) for mix in MIXES if only in mix.name)
    yield from (_deep(get, name) for name in ("-started_at", "-duration_ms") if only in "deep")
    for name, path, goal in PAGES:
        if only in name:
            took, queries = _p95(lambda path=path: get(path.format(**values)))  # type: ignore[misc]
            yield _row(name, (f"{took:,.0f} ms", "", ""), queries, goal)


class Requests:
    """Ask pages as an admin, and the API with a key."""

    def __init__(self) -> None:
        from django.test import Client

        from apps.accounts.actors import Actor
        from apps.accounts.keys import create_api_key
        from apps.accounts.models import Role, User

        self.client = Client(SERVER_NAME="localhost")
        self.client.force_login(User.objects.create_user("bench", role=Role.ADMIN))
        _, secret = create_api_key(name="bench", role=Role.ADMIN, by=Actor.system("bench"))
        self.key = f"Bearer {secret}"

    def __call__(self, path: str) -> None:
        headers = {"Authorization": self.key} if path.startswith("/api/") else {}
        if path.endswith("/progress/"):
            headers["HX-Request"] = "true"
        response = self.client.get(path, headers=headers)
        if response.status_code not in {200, 286}:
            sys.exit(f"{path}: {response.status_code} {response.content[:300]!r}")


def _values() -> dict[str, Any]:
    from django.utils import timezone

    from apps.conversations.models import Conversation

    newest = Conversation.objects.select_related("agent").order_by("-sort_at")
    row = newest.exclude(external_id__startswith="seed")[100]
    today = timezone.now()
    return {
        "agent": row.agent.public_id,
        "agent_pk": row.agent_id,
        "id": row.public_id,
        "external": row.external_id,
        "phone": row.from_number,
        "start": row.from_number[:8],
        "digits": row.from_number[1:],
        "month_ago": f"{today - timedelta(days=30):%Y-%m-%d}",
        "week_ago": f"{today - timedelta(days=7):%Y-%m-%d}",
    }


def _mix(mix: Mix, values: dict[str, Any], get: Requests) -> tuple[str, ...]:
    query = mix.query.format(**values).replace("=+", "=%2B")
    plain = _PLAIN.format(where=mix.where, order=mix.order).format(**values).replace("%%", "%")
    pages, apis, plains = [], [], []
    _, queries = _p95(lambda: get(f"/calls/?{query}"), rounds=1)
    get(f"/api/conversations?channel=voice&{query}")
    for _ in range(ROUNDS):
        plains.append(seconds(lambda: _run(plain)))
        pages.append(seconds(lambda: get(f"/calls/?{query}")))
        apis.append(seconds(lambda: get(f"/api/conversations?channel=voice&{query}")))
    page, api = _high(pages), _high(apis)
    ours = f"page {page:,.0f} ms, API {api:,.0f} ms"
    times = ours, f"{_high(plains):,.0f} ms", f"{api / page:.2f}"
    return _row(mix.name, times, queries, mix.goal)


def _deep(get: Requests, sort: str) -> tuple[str, ...]:
    """Return a row for the page behind the row in the middle, against the first page."""
    from urllib.parse import urlencode

    from apps.conversations.filters import parse
    from apps.conversations.history_list import keys_of
    from apps.core.pagination import Cursor

    spec = parse("voice", {"sort": sort})
    order = (*spec.sort.order, "-id")
    place = min(DEEP, keys_of(spec).count() // 2)
    row = keys_of(spec).order_by(*order)[place]
    values = tuple(getattr(row, name.removeprefix("-")) for name in order)
    query = urlencode({"sort": sort, "cursor": Cursor(order, values, back=False).encode()})
    first, deep, api = [], [], []
    for _ in range(ROUNDS):
        first.append(seconds(lambda: get(f"/calls/?sort={sort}")))
        deep.append(seconds(lambda: get(f"/calls/?{query}")))
        api.append(seconds(lambda: get(f"/api/conversations?channel=voice&{query}")))
    ours = f"page {_high(deep):,.0f} ms, API {_high(api):,.0f} ms"
    ratio = f"{_high(deep) / _high(first):.2f} of the first page"
    goal = GOAL if sort == "-started_at" else GOAL_SORT
    name = f"from row {place:,}, {sort}"
    return _row(name, (ours, f"first page {_high(first):,.0f} ms", ratio), 0, goal)


def _p95(work: Callable[[], object], rounds: int = ROUNDS) -> tuple[float, int]:
    """Return the milliseconds that 95 % keep below, and the statements of the first request."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as queries:
        work()
    made = len(queries)  # the next request empties the log
    return _high([seconds(work) for _ in range(rounds)]), made


def _high(times: list[float]) -> float:
    return sorted(times)[math.ceil(0.95 * len(times)) - 1] * 1000


def _run(statement: str) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(statement)
        cursor.fetchall()


def _row(work: str, times: tuple[str, str, str], queries: int, goal: int) -> tuple[str, ...]:
    counted = f"{queries} queries" if queries else ""
    many = f" ({MOST_QUERIES})" if queries > MOST_QUERIES else ""
    return "S5", work, *times, counted + many, f"≤ {goal} ms"


if __name__ == "__main__":
    for line in main(int(sys.argv[1]) if len(sys.argv) > 1 else 0):
        print(" | ".join(line), flush=True)
