"""What anyone who watches the installation wants to know, in Prometheus' text format.

Every number is read from PostgreSQL (or the broker) at the moment it is asked for, so that all
web processes return the same. Money, requests, and failures are of the last hour: an index finds
them, and a sum over all of the ledger would grow with the years.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

import redis
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import connection
from django.db.models import Count, Min, Q, Sum
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_1_0_0
from prometheus_client.registry import Collector

from apps.accounts.api_auth import session_or_key
from apps.analysis.models import Analysis, State
from apps.conversations.models import Conversation
from apps.crm.models import CrmConnection, Push, PushState
from apps.llm.errors import ErrorCode
from apps.llm.models import Usage
from apps.llm.specs import Priority
from apps.runs.models import PauseReason, Run, RunItem
from apps.runs.models import State as RunState
from apps.webhooks.models import Delivery, DeliveryState, Endpoint
from config.celery import QUEUES
from config.disk import probe
from config.heartbeat import worker_seen

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
CRM_STATES = (PushState.PENDING, PushState.WAITING, PushState.PARKED, PushState.FAILED)


@login_not_required
@never_cache
@session_or_key
def metrics(request: HttpRequest) -> HttpResponse:
    """Open to people who are logged in and to API keys of any role."""
    registry = CollectorRegistry()
    registry.register(Figures())
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_PLAIN_1_0_0)


class Figures(Collector):
    """All numbers, one short query for each family."""

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not query."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the numbers of this moment."""
        yield from _broker()
        yield from _analyses()
        yield from _intake()
        yield from _backfills()
        yield from _webhooks()
        yield from _crm()
        yield from _ledger()
        yield from _database()


def _gauge(name: str, help_text: str, labels: Iterable[str] = ()) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"debrief_{name}", help_text, labels=list(labels))


def _broker() -> Iterator[Metric]:
    up = _gauge("up", "1 where the part responds.", ["part"])
    waiting = _gauge("queue_messages", "Messages queued in the broker.", ["queue"])
    memory = _gauge("broker_memory_bytes", "Memory that the broker uses for its data.")
    found = {"database": True, "broker": False, "worker": False, "disk": not probe.reason()}
    try:
        with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2) as client:
            for queue in QUEUES:
                waiting.add_metric([queue], float(client.llen(queue)))
            memory.add_metric([], float(client.info("memory")["used_memory"]))
            found["broker"], found["worker"] = True, worker_seen(client)
    except redis.RedisError:
        pass
    for part, there in found.items():
        up.add_metric([part], float(there))
    yield from (up, waiting, memory)


def _analyses() -> Iterator[Metric]:
    waiting = _gauge("analyses_waiting", "Analyses waiting for a worker.", ["priority"])
    running = _gauge("analyses_running", "Analyses that a worker holds.", ["priority"])
    oldest = _gauge("analyses_oldest_seconds", "Age of the oldest that waits.", ["priority"])
    later = _gauge("analyses_postponed", "Waiting analyses to retry at a later time.", ["priority"])
    postponed = Count("pk", filter=Q(not_before__gt=timezone.now(), state=State.PENDING))
    rows = (
        Analysis.objects.filter(state__in=[State.PENDING, State.RUNNING])
        .order_by()
        .values_list("priority", "state")
        .annotate(how_many=Count("pk"), since=Min("created_at"), postponed=postponed)
    )
    found = {(priority, state): figures for priority, state, *figures in rows}
    for priority in Priority.values:
        how_many, since, put_off = found.get((priority, State.PENDING), (0, None, 0))
        waiting.add_metric([priority], how_many)
        later.add_metric([priority], put_off)
        running.add_metric([priority], found.get((priority, State.RUNNING), (0, None, 0))[0])
        oldest.add_metric([priority], _age(since))
    yield from (waiting, running, oldest, later, _failures())


def _failures() -> Metric:
    """Count by the index of failed analyses over the time of their end."""
    failed = _gauge("analysis_failures_last_hour", "Failed analyses by error code.", ["code"])
    rows = Analysis.objects.filter(state=State.FAILED, finished_at__gte=timezone.now() - HOUR)
    counts = dict(rows.order_by().values_list("error_code").annotate(how_many=Count("pk")))
    for code in ErrorCode.values:
        failed.add_metric([code], counts.get(code, 0))
    return failed


def _intake() -> Iterator[Metric]:
    due = _gauge("conversations_due", "Conversations whose first analysis is due to be asked for.")
    oldest = _gauge("conversations_due_oldest_seconds", "Age of the oldest of them.")
    late = Conversation.objects.filter(analyze_at__lte=timezone.now()).aggregate(
        how_many=Count("pk"), since=Min("analyze_at")
    )
    due.add_metric([], late["how_many"])
    oldest.add_metric([], _age(late["since"]))
    kept = _gauge(
        "conversations", "Approximate number of stored conversations (the planner's estimate)."
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT greatest(reltuples, 0) FROM pg_class WHERE oid = %s::regclass",
            [Conversation._meta.db_table],
        )
        kept.add_metric([], cursor.fetchone()[0])
    yield from (due, oldest, kept)


def _backfills() -> Iterator[Metric]:
    runs = _gauge("backfills", "Backfills that are not finished.", ["state"])
    paused = _gauge("backfills_paused", "Paused backfills by reason.", ["reason"])
    states: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    counts = Run.objects.lasting().active().order_by().values_list("state", "reason")
    for state, reason, how_many in counts.annotate(how_many=Count("pk")):
        states[state] += how_many
        reasons[reason] += how_many if state == RunState.PAUSED else 0
    for state, how_many in states.items():
        runs.add_metric([state], how_many)
    for reason in PauseReason.values:
        paused.add_metric([reason], reasons[reason])
    left = _gauge("backfill_items_left", "Conversations of unfinished backfills to be done.")
    active = Run.objects.lasting().active()
    left.add_metric([], RunItem.objects.filter(run__in=active).unfinished().count())
    yield from (runs, paused, left)


def _webhooks() -> Iterator[Metric]:
    open_ones = Delivery.objects.filter(state=DeliveryState.PENDING)
    sums = open_ones.aggregate(
        how_many=Count("pk"), retried=Count("pk", filter=Q(attempts__gt=0)), since=Min("created_at")
    )
    pending = _gauge("webhook_deliveries_waiting", "Deliveries that have not arrived yet.")
    pending.add_metric([], sums["how_many"])
    retried = _gauge("webhook_deliveries_retried", "Those of them that failed at least once.")
    retried.add_metric([], sums["retried"])
    oldest = _gauge("webhook_oldest_seconds", "Age of the oldest undelivered webhook.")
    age = _age(sums["since"])
    oldest.add_metric([], age)
    disabled = _gauge("webhook_endpoints_disabled", "Endpoints that are switched off.")
    disabled.add_metric([], Endpoint.objects.exclude(disabled_at=None).count())
    yield from (pending, retried, oldest, disabled)


def _crm() -> Iterator[Metric]:
    pushes = _gauge("crm_pushes", "Pushes to CRMs that are not sent, by state.", ("state",))
    waiting = Push.objects.filter(state__in=CRM_STATES).order_by().values_list("state")
    counts = dict(waiting.annotate(how_many=Count("pk")))
    for state in CRM_STATES:
        pushes.add_metric([state.value], counts.get(state.value, 0))
    oldest = _gauge("crm_oldest_seconds", "Age of the oldest pending push.")
    pending = Push.objects.filter(state=PushState.PENDING)
    since = pending.aggregate(since=Min("created_at"))["since"]
    oldest.add_metric([], _age(since))
    disabled = _gauge("crm_connections_disabled", "CRM connections that are switched off.")
    disabled.add_metric([], CrmConnection.objects.exclude(disabled_at=None).count())
    yield from (pushes, oldest, disabled)


def _ledger() -> Iterator[Metric]:
    labels = ("purpose", "trigger", "model_name")
    recent = _gauge("requests_last_minute", "Requests to models in the last minute.", labels)
    what = {
        "requests": _gauge("requests_last_hour", "Requests to models.", labels),
        "input_tokens": _gauge("input_tokens_last_hour", "Input tokens.", labels),
        "output_tokens": _gauge("output_tokens_last_hour", "Output tokens.", labels),
        "cost": _gauge("cost_last_hour", "Cost, where prices are known.", labels),
    }
    rows = (
        Usage.objects.filter(at__gte=timezone.now() - HOUR)
        .order_by()
        .values_list(*labels)
        .annotate(*(Sum(name) for name in what))
        .annotate(recent=Sum("requests", filter=Q(at__gte=timezone.now() - MINUTE)))
    )
    for row in rows:
        for family, figure in zip((*what.values(), recent), row[len(labels) :], strict=True):
            family.add_metric([str(value) for value in row[: len(labels)]], float(figure or 0))
    yield from (*what.values(), recent)


def _database() -> Iterator[Metric]:
    connections = _gauge("database_connections", "Open connections to PostgreSQL, of everyone.")
    most = _gauge("database_max_connections", "Connections that PostgreSQL admits.")
    size = _gauge("database_bytes", "Size of the database.")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT sum(numbackends) FROM pg_stat_database),"
            " current_setting('max_connections')::int, pg_database_size(current_database())"
        )
        for family, figure in zip((connections, most, size), cursor.fetchone(), strict=True):
            family.add_metric([], float(figure))
    yield from (connections, most, size)


def _age(since: datetime | None) -> float:
    """Return the seconds since then; 0 for none."""
    return (timezone.now() - since).total_seconds() if since else 0.0
