"""Look at new results for the rules of single results.

The transaction that records results only notes which ones (`results_recorded`, one statement). A
task looks at them afterward, many at once; what a killed worker held is looked at by the next one.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime

from django.db import connection, transaction

from apps.conversations.filters import FilterError
from apps.conversations.models import Conversation
from apps.core.tasks import enqueue

from .conditions import watched
from .evaluate import settle
from .incidents import add_event, add_matches, announce_open, close_incident, open_incident
from .models import (
    AlertRule,
    Check,
    EventKind,
    Incident,
    IncidentState,
    Kind,
    Match,
    Resolution,
    RuleState,
)

BATCH = 500

# Results that are no first ones matter to few rules, and to conversations behind open incidents.
_NOTE = """
INSERT INTO alerts_check (conversation_id, is_first, created_at)
SELECT v.id, v.is_first, clock_timestamp()
FROM unnest(%(ids)s::bigint[], %(first)s::boolean[]) AS v(id, is_first)
WHERE EXISTS (SELECT 1 FROM alerts_alertrule r WHERE r.kind = 'result' AND r.paused_at IS NULL
    AND (v.is_first OR r.include_reruns))
  OR EXISTS (SELECT 1 FROM alerts_match m JOIN alerts_incident i ON i.id = m.incident_id
    WHERE m.conversation_id = v.id AND i.state <> 'resolved')
"""


def results_recorded(*, first: Collection[int], again: Collection[int]) -> None:
    """Note conversations (by primary key) that have a new result.

    ``first``: a first analysis, or an imported one. ``again``: a rerun, a backfill, a restored or
    recomputed result. Call it inside the transaction that records the results. Where no rule
    watches single results, this is one query of a tiny table.
    """
    if not (first or again):
        return
    values: dict[str, list[int] | list[bool]] = {
        "ids": [*first, *again],
        "first": [True] * len(first) + [False] * len(again),
    }
    with connection.cursor() as cursor:
        cursor.execute(_NOTE, values)
        noted = cursor.rowcount
    if noted:
        enqueue("alerts.check")


def checks_wait() -> bool:
    """Return whether results wait to be looked at."""
    return Check.objects.exists()


def run_checks(now: datetime) -> int:
    """Look at all results that wait, in batches; return how many were looked at."""
    done = 0
    while taken := check_batch(now):
        done += taken
    return done


def check_batch(now: datetime) -> int:
    """Look at up to `BATCH` results in one transaction; return how many."""
    with transaction.atomic():
        checks = list(Check.objects.select_for_update(skip_locked=True).order_by("pk")[:BATCH])
        if not checks:
            return 0
        rules = AlertRule.objects.select_for_update(no_key=True).filter(kind=Kind.RESULT)
        for rule in rules.filter(paused_at=None).order_by("pk"):
            _look(rule, checks, now)
        Check.objects.filter(pk__in=[check.pk for check in checks]).delete()
    return len(checks)


def _look(rule: AlertRule, checks: Sequence[Check], now: datetime) -> None:
    """Let one locked rule look at results: open an incident, add to it, or close it."""
    since = [c for c in checks if c.created_at >= rule.armed_at]
    fresh = {c.conversation_id for c in since if c.is_first or rule.include_reruns}
    incidents = {i.agent_id: i for i in rule.incidents.open().select_related("rule", "agent")}
    behind = set(
        Match.objects.filter(
            incident__in=incidents.values(), conversation__in=[c.conversation_id for c in since]
        ).values_list("conversation", flat=True)
    )
    if not fresh | behind:
        return
    try:
        what = watched(rule)
    except FilterError as error:
        AlertRule.objects.filter(pk=rule.pk).update(problem=error.message)
        return
    rows = Conversation.objects.filter(what.scope & what.counted, pk__in=fresh | behind)
    matching = dict(rows.filter(what.matched).order_by("pk").values_list("pk", "agent"))
    _match_no_longer(rule, incidents.values(), behind - set(matching), now)
    _add(rule, incidents, {pk: agent for pk, agent in matching.items() if pk in fresh}, now)


def _add(
    rule: AlertRule,
    incidents: dict[int | None, Incident],
    matching: dict[int, int],
    now: datetime,
) -> None:
    """Add matching conversations (primary key → agent) to the incidents of a rule."""
    groups: dict[int | None, list[int]] = defaultdict(list)
    for pk, agent in matching.items():
        groups[agent if rule.per_agent else None].append(pk)
    for agent_id, ids in groups.items():
        incident = incidents.get(agent_id)
        is_new = incident is None or incident.state == IncidentState.RESOLVED
        if incident is None or is_new:
            incident = open_incident(rule, agent_id=agent_id, at=now)
        added = add_matches(incident, ids, at=now)
        if is_new:
            incident.events.filter(kind=EventKind.OPENED).update(count=added)
            announce_open(incident, now)
            settle(rule, agent_id, RuleState.ALERTING, now)
        elif added:
            add_event(incident, EventKind.MATCHED, now, count=added, notify=True)


def _match_no_longer(
    rule: AlertRule, incidents: Collection[Incident], gone: Collection[int], now: datetime
) -> None:
    """Note that conversations don't match any longer; close incidents of which none does."""
    if not gone:
        return
    Match.objects.filter(incident__in=incidents, conversation__in=gone).update(matches=False)
    for incident in incidents:
        if not incident.matches.filter(matches=True).exists():
            close_incident(incident, Resolution.NO_LONGER_MATCHES, at=now)
            settle(rule, incident.agent_id, RuleState.NORMAL, now)
