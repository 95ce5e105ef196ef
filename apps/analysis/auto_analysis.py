"""Request the first analysis when a conversation has ended, or store the reason why not.

Three functions request it, and all decide by ``_why_not_first`` and queue by ``_queue``:
`FirstAnalyses` in the transaction that stores new messages, `request_due` for conversations that
ended otherwise, also after a crash, and `request_first` for selected ones.
"""

import logging
from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter

from django.db import DatabaseError, transaction
from django.utils import timezone

from apps.agents.models import AgentVersion
from apps.agents.plans import Plan, plan_for_steps
from apps.conversations.inputs import ConversationInput
from apps.conversations.lookup import Route
from apps.conversations.models import (
    AnalysisState,
    Conversation,
    ConversationQuerySet,
    Reason,
    Transfer,
    Trigger,
)
from apps.conversations.results import not_analyzable_reason, set_due, set_states
from apps.conversations.services import GROUP
from apps.core.database import insert_new, is_passing
from apps.core.sampling import is_sampled
from apps.core.tasks import wake
from apps.llm.errors import ErrorCode
from apps.llm.specs import Priority

from .models import Analysis

logger = logging.getLogger(__name__)

BUSY = timedelta(seconds=5)
"""After this long a conversation that another analysis reads is looked at again."""
READ_FIRST = (
    "public_id",
    "agent_version_id",
    "status",
    "duration_ms",
    "message_count",
    "has_speech",
    "analysis_state",
    "stale",
)
"""Of a conversation, what decides on its first analysis."""


@dataclass(frozen=True, slots=True)
class Requested:
    """``seen``: how many were due and are no longer; ``queued``: how many analyses were queued."""

    seen: int
    queued: int


def request_first(
    *, conversation_ids: Sequence[int], ask: bool = True, now: datetime | None = None
) -> int:
    """Queue the first analysis of conversations that ended without a result, or continued after
    the one they have, which stays current until the new one is recorded.

    Each is read with the versions that handled it. One that is not analyzed gets the reason.
    Return how many were queued. Without ``ask`` only the reasons are stored. Afterward only those
    are due that another analysis is reading: that one may have begun before the last messages
    arrived, so they are due again soon.
    """
    with transaction.atomic(savepoint=False):  # whoever calls in a transaction guards itself
        return _request(list(_locked(conversation_ids)), now or timezone.now(), ask=ask)


def request_due(
    *, now: datetime | None = None, among: Sequence[int] | None = None, limit: int = GROUP
) -> Requested:
    """Queue the first analyses of conversations that are due, at most ``limit``, the oldest first.

    ``among`` limits it to these primary keys. Conversations that another process requests at this
    moment are left to it. Those whose request fails by a bug in Debrief are marked as failed and
    affect no other.
    """
    now = now or timezone.now()
    due = Conversation.objects.filter(analyze_at__lte=now)
    if among is not None:
        due, limit = due.filter(pk__in=among), max(limit, len(among))
    with transaction.atomic():
        locked = due.select_for_update(skip_locked=True, no_key=True).only(*READ_FIRST)
        found = list(locked.order_by("analyze_at", "pk")[:limit])
        return Requested(len(found), _request_due(found, now))


class FirstAnalyses:
    """The first analyses of conversations in the transaction that stores them.

    `decide` is called for each new conversation before it is written, so that it is written once,
    with its state; `request` after all are written.
    """

    def __init__(self, now: datetime) -> None:
        self.now = now
        self._plans: dict[Route, Plan] = {}
        self._wanted: dict[str, Plan] = {}

    def decide(self, new: Conversation, line: ConversationInput, route: Route) -> None:
        """Set state, reason and due time of a conversation that is due and not yet written.

        One with its own result stays due. So does one whose plan breaks: `request` lets it fail
        alone.
        """
        if line.analysis or not self._is_due(new):
            return
        try:
            plan = self._plan(route)
        except DatabaseError:
            raise  # the transaction is over
        except Exception:
            logger.exception("Planning the first analysis of a new conversation failed")
            return
        if reason := _why_not_first(new, plan):
            new.analysis_state, new.analysis_reason = _state_of(reason), reason
        else:
            new.analysis_state = AnalysisState.PENDING
            self._wanted[new.public_id] = plan
        new.analyze_at = None

    def request(self, stored: Sequence[Conversation], *, changed: Container[int] = ()) -> int:
        """Queue the analyses of new conversations, and of all others that are due.

        ``stored`` is as the database has it, except the primary keys in ``changed``, which are
        read again. Return how many were queued.
        """
        planned = [(c, self._wanted.pop(c.public_id, None)) for c in stored]
        queued = len(_queue([_first(conversation, plan) for conversation, plan in planned if plan]))
        due = [c for c in stored if self._is_due(c)]
        if read_again := [c.pk for c in due if c.pk in changed]:
            due = [c for c in due if c.pk not in changed] + list(_locked(read_again))
        return queued + _request_due(due, self.now)

    def _is_due(self, conversation: Conversation) -> bool:
        return conversation.analyze_at is not None and conversation.analyze_at <= self.now

    def _plan(self, route: Route) -> Plan:
        if route not in self._plans:
            self._plans[route] = plan_for_steps(
                [("", route.version), *((step.setting, step.version) for step in route.steps)]
            )
        return self._plans[route]


def defer_to_platform(*, conversation_ids: Sequence[int], never_comes: bool = False) -> None:
    """Write down of conversations that ended that waiting for the platform's analysis, or
    that it ``never_comes``: the platform has said its last, and sent none.

    One that cannot be analyzed at all says so instead, and is no longer due.
    """
    theirs = Reason.NO_PLATFORM_ANALYSIS if never_comes else Reason.WAITING_FOR_PLATFORM
    with transaction.atomic():
        waiting = _locked(conversation_ids).filter(analysis_state=AnalysisState.NONE)
        reasons = [(c.pk, not_analyzable_reason(c) or theirs) for c in waiting]
        set_states([(pk, _state_of(reason), reason) for pk, reason in reasons])
        never = [pk for pk, reason in reasons if reason != Reason.WAITING_FOR_PLATFORM]
        Conversation.objects.filter(pk__in=never).update(analyze_at=None)


def _locked(conversation_ids: Sequence[int]) -> ConversationQuerySet:
    """Lock conversations, in the order in which all code locks them."""
    rows = Conversation.objects.filter(pk__in=conversation_ids).only(*READ_FIRST)
    return rows.select_for_update(no_key=True).order_by("pk")


def _request_due(due: Sequence[Conversation], now: datetime) -> int:
    """Request locked conversations. One that breaks its request fails alone."""
    if not due:
        return 0
    try:
        with transaction.atomic():
            return _request(sorted(due, key=attrgetter("pk")), now)
    except Exception as error:  # whatever one of them breaks, the others are to analyze
        if is_passing(error):
            raise
        logger.exception("Requesting %d first analyses failed", len(due))
        if len(due) > 1:
            return sum(_request_due([one], now) for one in due)
        _fail_unrequestable(due[0].pk)
        return 0


def _request(locked: Sequence[Conversation], now: datetime, *, ask: bool = True) -> int:
    """Do `request_first` for locked rows in the order of their primary keys, read with
    ``READ_FIRST`` at least."""
    waiting = [c for c in locked if c.analysis_state == AnalysisState.NONE or c.stale]
    wanted, reasons = _sorted_out(waiting)
    queued = _queue(wanted) if ask else []
    set_states([(pk, AnalysisState.PENDING, "") for pk in queued])
    set_states([(pk, _state_of(reason), reason) for pk, reason in reasons])
    if ask:
        busy = {a.conversation_id for a in wanted} - set(queued)
        set_due([c.pk for c in locked if c.pk not in busy], None)
        set_due(list(busy), now + BUSY)
    return len(queued)


def _fail_unrequestable(conversation_id: int) -> None:
    """Mark a conversation whose analysis can't be requested, by a bug in Debrief, as failed.

    It would be due forever; a rerun shows the error.
    """
    row = Conversation.objects.filter(pk=conversation_id)
    row.filter(analysis_state=AnalysisState.NONE).update(
        analysis_state=AnalysisState.FAILED, analysis_reason=ErrorCode.INTERNAL
    )
    row.update(analyze_at=None)


def _sorted_out(
    waiting: Sequence[Conversation],
) -> tuple[list[Analysis], list[tuple[int, Reason]]]:
    """Return the first analyses of those that get one, and the reasons of the others."""
    plans = _plans_first(waiting)
    queued: list[Analysis] = []
    reasons: list[tuple[int, Reason]] = []
    for conversation in waiting:
        plan = plans[conversation.pk]
        if reason := _why_not_first(conversation, plan):
            reasons.append((conversation.pk, reason))
        else:
            queued.append(_first(conversation, plan))
    return queued, reasons


def _queue(analyses: Sequence[Analysis]) -> list[int]:
    """Store those whose conversations have none running, and wake the runners; the conversations
    that really wait now.

    One that another analysis reads already is left as it is: that of a backfill may be handed
    back, and no one would end a wait that was only written down.
    """
    made = insert_new(analyses, returning="conversation")
    if made:
        wake("analysis.run_queue", priority=Priority.LIVE.value)
    return made


def _plans_first(conversations: Sequence[Conversation]) -> dict[int, Plan]:
    """Return each conversation's plan, by the versions that handled it.

    Each version is read once, with what its plan needs, however many conversations it handled.
    """
    steps = {c.pk: [("", c.agent_version_id)] for c in conversations}
    transfers = Transfer.objects.filter(conversation__in=steps).order_by("position")
    for pk, setting, version in transfers.values_list("conversation", "setting", "to_version"):
        steps[pk].append((setting, version))
    chains = {tuple(chain) for chain in steps.values()}
    versions = AgentVersion.objects.with_config().in_bulk({v for c in chains for _, v in c})
    plans = {c: plan_for_steps([(setting, versions[v]) for setting, v in c]) for c in chains}
    return {pk: plans[tuple(chain)] for pk, chain in steps.items()}


def _why_not_first(conversation: Conversation, plan: Plan) -> Reason | None:
    """Return the first reason that applies; those that an operator can change come last."""
    version = plan.version
    if reason := not_analyzable_reason(conversation):
        return reason
    if version.agent.unconfigured or plan.problems:
        return Reason.UNCONFIGURED
    if not version.post_analysis_enabled or version.agent.deactivated_at:
        return Reason.DISABLED
    if not is_sampled(conversation.public_id, version.sample_percent):
        return Reason.SAMPLED_OUT
    too_brief = (
        conversation.duration_ms is not None
        and conversation.duration_ms < version.min_seconds * 1000
    )
    if too_brief or conversation.message_count < version.min_messages:
        return Reason.TOO_SHORT
    return None


def _first(conversation: Conversation, plan: Plan) -> Analysis:
    return Analysis(
        conversation=conversation,
        config=plan.config,
        agent_version=plan.version,
        columns=plan.columns.as_dict(),
        trigger=Trigger.INITIAL,
        priority=Priority.LIVE,
        requested_by="system: automatic analysis",
    )


def _state_of(reason: Reason) -> AnalysisState:
    """Return *none* where an analysis may still come, else *skipped*."""
    may_come = {Reason.NOT_ENDED, Reason.WAITING_FOR_PLATFORM}
    return AnalysisState.NONE if reason in may_come else AnalysisState.SKIPPED
