"""Which conversations a backfill takes: one SELECT, which previews count and Save freezes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from django.db import connection
from django.db.models import Case, Count, F, Q, QuerySet, Sum, When
from django.db.models.functions import Coalesce

from apps.agents.models import AnalysisConfig
from apps.agents.plans import Plan
from apps.analysis.model_call import longest_transcript
from apps.conversations.filters import matching
from apps.conversations.models import Conversation, ConversationQuerySet
from apps.conversations.results import not_analyzable_case
from apps.core.database import sql_of
from apps.core.sampling import Position, sample_end

from .models import Run
from .options import Options, read_options

Rows = TypeVar("Rows", bound=QuerySet[Any])

#: What stands in `why` where nothing speaks against an analysis.
ANALYZABLE = ""


def candidates(channel: str, params: Mapping[str, Sequence[str]], as_of: datetime) -> QuerySet[Any]:
    """The matching conversations that had come in by ``as_of``, in no order, annotated.

    ``why``: why no model can read it, empty where one can. ``current_config``: that of a result
    that counts as already analyzed: current, successful and not stale.
    Raises FilterError for filters that are unknown or invalid: never all rows.
    """
    found = matching(channel=channel, params=params).filter(created_at__lte=as_of).order_by()
    return found.annotate(
        why=not_analyzable_case(),
        current_config=Case(
            When(Q(analysis_state="succeeded", stale=False), then=F("analysis_config_id")),
            default=None,
        ),
    )


@dataclass(frozen=True, slots=True)
class Keys:
    """A range of keys: above ``low``, and up to ``high``. None for no bound."""

    low: int | None = None
    high: int | None = None

    def of(self, rows: Rows) -> Rows:
        """Return the rows with keys of the range."""
        if self.low is not None:
            rows = rows.filter(pk__gt=self.low)
        return rows if self.high is None else rows.filter(pk__lte=self.high)

    def parts(self, count: int) -> list["Keys"]:
        """Return ranges that make up this one, the highest first; none where it can't be split."""
        if self.low is None or self.high is None or self.high - self.low < count:
            return []
        size = -(-(self.high - self.low) // count)
        return [Keys(max(self.low, at - size), at) for at in range(self.high, self.low, -size)]


EVERY_KEY = Keys()


@dataclass(frozen=True, slots=True)
class Chosen:
    """The SELECT of ``(id, route, config_id, version_id, tokens, sort_at)`` that is taken."""

    sql: str
    params: tuple[Any, ...]

    def totals(self) -> dict[str, tuple[int, int]]:
        """Return conversations and transcript tokens by route."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT route, count(*), coalesce(sum(tokens), 0)"
                f" FROM ({self.sql}) AS chosen GROUP BY route",
                self.params,
            )
            return {row[0]: (row[1], int(row[2])) for row in cursor.fetchall()}

    def all_in(self, run_id: int) -> bool:
        """Whether every conversation that is taken is an item of this run already."""
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT NOT EXISTS (SELECT 1 FROM ({self.sql}) AS chosen WHERE NOT EXISTS"
                " (SELECT 1 FROM runs_runitem i"
                " WHERE i.run_id = %s AND i.conversation_id = chosen.id))",
                (*self.params, run_id),
            )
            return bool(cursor.fetchone()[0])

    def freeze(self, run_id: int, *, limit: int) -> int:
        """Insert up to ``limit`` items of a run, newest conversation first; how many."""
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO runs_runitem (run_id, conversation_id, config_id,"
                " agent_version_id, state, error_code, error_message)"
                " SELECT %s, id, config_id, version_id, 'pending', '', ''"
                f" FROM ({self.sql}) AS chosen ORDER BY sort_at DESC, id DESC LIMIT %s",
                (run_id, *self.params, limit),
            )
            return int(cursor.rowcount)


@dataclass(frozen=True, slots=True)
class Reading:
    """How the conversations of a route are read, by the keys of config and version.

    Transcripts of more than ``longest`` tokens are rejected; None for no limit.
    """

    config_id: int
    version_id: int
    longest: int | None


def readings(plans: Mapping[str, Plan]) -> dict[str, Reading]:
    """Return how each route is read that can be."""
    return {
        route: Reading(
            plan.config.pk,
            plan.version.pk,
            longest_transcript(plan.config.sha256, plan.document, plan.config.model.spec()),
        )
        for route, plan in plans.items()
        if not plan.problems
    }


def too_long(found: QuerySet[Any], longest: Mapping[str, int | None]) -> list[dict[str, Any]]:
    """Count the candidates beyond these limits, by route and config of their result."""
    routes: dict[int, list[str]] = {}
    for route, limit in longest.items():
        if limit is not None:
            routes.setdefault(limit, []).append(route)
    if not routes:
        return []
    refused = Q()
    for limit, names in routes.items():
        refused |= Q(route__in=names, prompt_tokens_est__gt=limit)
    rows = found.filter(refused, why=ANALYZABLE).values("route", "current_config")
    return list(
        rows.annotate(conversations=Count("pk"), tokens=Coalesce(Sum("prompt_tokens_est"), 0))
    )


def choose(
    found: QuerySet[Conversation], reading: Mapping[str, Reading], options: Options
) -> Chosen:
    """What of the candidates is analyzed when their routes are read in this way.

    All values travel as parameters; the text is the FilterSet's own SQL and the constants here.
    """
    columns = found.annotate(position=Position(F("public_id"))).values_list(
        "pk", "route", "why", "current_config", "position", "prompt_tokens_est", "sort_at"
    )
    base, base_params = sql_of(columns)
    sql = (
        "SELECT m.id, m.route, p.config_id, p.version_id, m.tokens, m.sort_at"
        f" FROM ({base}) AS m(id, route, why, current_config, position, tokens, sort_at)"
        " JOIN unnest(%s::text[], %s::bigint[], %s::bigint[], %s::bigint[])"
        " AS p(route, config_id, version_id, longest) ON p.route = m.route"
        " WHERE m.why = '' AND (%s OR m.current_config IS DISTINCT FROM p.config_id)"
        " AND (p.longest IS NULL OR m.tokens <= p.longest)"
    )
    params: list[Any] = [
        *base_params,
        list(reading),
        [one.config_id for one in reading.values()],
        [one.version_id for one in reading.values()],
        [one.longest for one in reading.values()],
        options.include_analyzed,
    ]
    if options.sample_percent is not None:
        sql += " AND m.position < %s"
        params.append(sample_end(options.sample_percent))
    if options.sample_count is not None:
        sql += " ORDER BY m.position, m.id LIMIT %s"
        params.append(options.sample_count)
    return Chosen(sql, tuple(params))


def list_candidates(run: Run, keys: Keys, limit: int) -> int:
    """Write up to ``limit`` items of a backfill for the conversations with these keys."""
    found = keys.of(candidates(run.channel, run.filters, run.as_of))
    chosen = choose(found, frozen_readings(run), read_options(run.options))
    return chosen.freeze(run.pk, limit=limit)


def frozen_readings(run: Run) -> dict[str, Reading]:
    """Return how each route of a run is read, as agreed at Save."""
    names = {entry["config"] for entry in run.plan}
    rows = AnalysisConfig.objects.filter(sha256__in=names).values_list("sha256", "pk")
    configs = dict(rows)
    return {
        entry["route"]: Reading(configs[entry["config"]], entry["agent_version"], entry["longest"])
        for entry in run.plan
    }


def freeze_results(run: Run, found: ConversationQuerySet, *, limit: int) -> int:
    """Insert up to ``limit`` items, for the current results of conversations; how many.

    For runs that ask no model: the config of an item is that of its result.
    """
    sql, values = sql_of(found.values("pk"))
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO runs_runitem (run_id, conversation_id, config_id, agent_version_id,"
            " state, error_code, error_message)"
            " SELECT %s, a.conversation_id, coalesce(a.config_id, v.config_id),"
            " a.agent_version_id, 'pending', '', ''"
            " FROM analysis_analysis a JOIN agents_agentversion v ON v.id = a.agent_version_id"
            f" WHERE a.is_current AND a.conversation_id IN ({sql}) ORDER BY a.conversation_id"
            " LIMIT %s",
            [run.pk, *values, limit],
        )
        return int(cursor.rowcount)
