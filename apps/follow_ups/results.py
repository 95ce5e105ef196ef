"""Add follow-ups for new results whose rule asks for one.

Which results add one is decided here (docs/decisions/0046): with *first analyses*, the default,
those of new conversations, so that reruns, backfills, and imports of old conversations
add nothing. With *all analyses* every result but a restored one, and never a second follow-up of a
conversation, unless it got new messages since.
"""

import json
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from apps.conversations.filters import FilterError, ValueKind
from apps.conversations.filters.json_keys import JsonKey
from apps.conversations.models import Conversation, Trigger
from apps.conversations.results import NewResult
from apps.core import display

from .due_times import end_of_days
from .events import emit_added
from .models import FRESH_DAYS, REASON_MAX, Applies, FollowUp, FollowUpRule, Origin
from .rules import NEEDED, NOTES, understood

log = logging.getLogger(__name__)

ADDED_BY = "Analysis"


@dataclass(frozen=True, slots=True)
class _Asking:
    """A rule as it applies: its document as JSON, empty for the default rule.

    ``needs`` is a key without which a result can't match.
    """

    document: str = ""
    reason_field: str = NOTES
    due_days: int | None = None
    applies: str = Applies.FIRST
    needs: str = ""

    def takes(self, result: NewResult) -> bool:
        if self.applies == Applies.FIRST and not result.is_first_analysis:
            return False
        return not result.is_copy and (not self.needs or self.needs in result.values)

    def condition(self) -> tuple[Q, Collection[str]]:
        """Return the condition on conversations and the fields that it reads.

        Raise FilterError if the rule can't be read.
        """
        if not self.document:
            target = JsonKey("analysis_data", NEEDED, (ValueKind.YES_NO,))
            return target.condition("", ("true",)), [NEEDED]
        rule = understood(json.loads(self.document))
        return rule.q, [name.removeprefix("analysis.") for name in sorted(rule.fields)]


_DEFAULT = _Asking(needs=NEEDED)


def request_follow_ups(results: Sequence[NewResult], *, now: datetime | None = None) -> None:
    """Add a follow-up to each conversation whose new result asks for one.

    Call this in the transaction that makes the results current, with their conversations locked.
    One query, and a few more where a result may ask for one, whatever the number of results.
    """
    if not results:
        return
    at = now or timezone.now()
    rules = _load_rules()
    wanted: dict[_Asking, list[NewResult]] = {}
    for result in results:
        rule = rules.get(result.agent_id, rules.get(None, _DEFAULT))
        if rule is not None and rule.takes(result):
            wanted.setdefault(rule, []).append(result)
    rows = [row for rule, group in wanted.items() for row in _rows(rule, group, at)]
    if not rows:
        return
    notifying = {result.conversation_id for result in results if result.notifies}
    stored = FollowUp.objects.bulk_create(rows)
    emit_added([row.pk for row in stored if row.conversation_id in notifying])


def _load_rules() -> dict[int | None, _Asking | None]:
    """Return the rules by agent (None: all agents), in one query; None for a disabled one."""
    return {
        rule.agent_id: _Asking(
            json.dumps(rule.document), rule.reason_field, rule.due_days, rule.applies
        )
        if rule.enabled
        else None
        for rule in FollowUpRule.objects.order_by("pk")
    }


def _rows(rule: _Asking, results: Sequence[NewResult], now: datetime) -> list[FollowUp]:
    """Return the follow-ups to add for the results that this rule may ask one for."""
    try:
        condition, fields = rule.condition()
    except FilterError as error:
        log.warning("A rule of follow-ups can't be read: %s", error.message)
        return []
    conversations = Conversation.objects.filter(pk__in=[r.conversation_id for r in results])
    if rule.applies == Applies.FIRST:
        conversations = conversations.filter(sort_at__gte=now - timedelta(days=FRESH_DAYS))
    asking = set(conversations.filter(condition).order_by().values_list("pk", flat=True))
    if not asking:
        return []
    earlier = FollowUp.objects.filter(conversation__in=asking)
    known = dict(earlier.order_by("pk").values_list("conversation", "done_at"))
    still_open = set(earlier.open().values_list("conversation", flat=True))
    due_at = end_of_days(rule.due_days, now)
    return [
        _follow_up(result, rule, fields, due_at, now)
        for result in results
        if result.conversation_id in asking - still_open
        and (result.conversation_id not in known or result.trigger == Trigger.INITIAL)
    ]


def _follow_up(
    result: NewResult,
    rule: _Asking,
    fields: Collection[str],
    due_at: datetime | None,
    now: datetime,
) -> FollowUp:
    reason = result.values.get(rule.reason_field) if rule.reason_field else None
    shown = [*fields, rule.reason_field]
    return FollowUp(
        conversation_id=result.conversation_id,
        origin=Origin.ANALYSIS,
        reason=display.one_line(reason)[:REASON_MAX],
        values={name: result.values[name] for name in shown if name in result.values},
        due_at=due_at,
        created_at=now,
        created_by=ADDED_BY,
    )
