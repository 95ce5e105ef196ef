"""First analyses that wait for their provider, and their next attempt (decision 0027).

A first analysis that met an outage or a limit hasn't failed yet: its row waits, with the cause and
the time of the next attempt. One success of the model releases every analysis that waits for it.
"""

from collections.abc import Collection

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from apps.accounts import audit
from apps.accounts.actors import Actor
from apps.agents.models import AnalysisConfig
from apps.conversations.models import (
    CLOSED,
    AnalysisState,
    Conversation,
    ConversationQuerySet,
    Reason,
    Trigger,
)
from apps.core.tasks import enqueue, wake
from apps.llm.errors import ErrorCode
from apps.llm.specs import Priority

from .claims import ANALYSES
from .model_call import AnalysisOutcome
from .models import MOST_TRIES, Analysis, State
from .results import lock_conversations

LONGEST_SECONDS = 120 * settings.RECOVERY_SECONDS
"""The longest pause between two attempts: half an hour."""
WAITED_FOR = frozenset(
    {ErrorCode.CONNECTION, ErrorCode.TIMEOUT, ErrorCode.RATE_LIMITED, ErrorCode.PROVIDER_ERROR,
     ErrorCode.AUTH, ErrorCode.QUOTA}
)  # fmt: skip
"""Failures that were the provider's or the account's: a new attempt may succeed as it is."""


def pause_before(tries: int, *, first: float | None = None, longest: float) -> float:
    """Return the seconds before attempt ``tries + 1``: doubled each time, up to ``longest``."""
    shortest = settings.RECOVERY_SECONDS if first is None else first
    return float(min(longest, shortest * 2 ** min(tries - 1, 30)))


_WAIT = (
    "reserved = NULL, tries = %(tries)s, error_code = %(code)s, error_message = %(message)s,"
    " not_before = clock_timestamp() + make_interval(secs => %(pause)s)"
)


def put_off(outcome: AnalysisOutcome) -> bool:
    """Let a first analysis wait for its provider; False where it is to fail now."""
    job = outcome.job
    tries = job.tries + 1
    if not outcome.can_wait or tries >= MOST_TRIES:
        return False
    pause = pause_before(tries, longest=LONGEST_SECONDS)
    if outcome.error_code == ErrorCode.QUOTA:
        pause = LONGEST_SECONDS
    pause = max(pause, min(outcome.retry_after or 0.0, LONGEST_SECONDS))
    message = outcome.error_message[:2000]
    with transaction.atomic():
        lock_conversations([job.conversation_id])
        ANALYSES.release(
            [job], setting=_WAIT, tries=tries, code=outcome.error_code, message=message, pause=pause
        )
        Conversation.objects.filter(
            pk=job.conversation_id, analysis_state=AnalysisState.PENDING
        ).update(analysis_reason=Reason.WAITING_FOR_PROVIDER)
    return True


def release(config_ids: Collection[int] | None = None) -> int:
    """Let first analyses that wait be tried now; those of the same models, or all. How many."""
    rows = Analysis.objects.filter(state=State.PENDING, not_before__gt=timezone.now())
    if config_ids is not None:
        models = AnalysisConfig.objects.filter(pk__in=config_ids).values("model")
        rows = rows.filter(config__model__in=models)
    released = rows.update(not_before=None)
    if released:
        wake("analysis.run_queue", priority=Priority.LIVE.value)
    return released


def failed_for(codes: Collection[str] = WAITED_FOR) -> ConversationQuerySet:
    """Return conversations whose first analysis failed for the provider or the account."""
    first = Analysis.objects.filter(
        conversation=OuterRef("pk"),
        trigger=Trigger.INITIAL,
        state=State.FAILED,
        error_code=OuterRef("analysis_reason"),
    )
    return Conversation.objects.filter(
        Q(analysis_state=AnalysisState.FAILED, analysis_reason__in=codes, status__in=CLOSED),
        Exists(first),
    )


def retry_first(*, by: Actor, codes: Collection[str] = WAITED_FOR) -> int:
    """Try first analyses again that failed for the provider or the account, and those that wait.

    They are made due, and so planned like any first analysis. Returns how many.
    """
    with transaction.atomic():
        failed = failed_for(codes)
        # The condition stands twice: what changes while this waits for a row is looked at again.
        count = failed.filter(pk__in=failed.values("pk")).update(
            analysis_state=AnalysisState.NONE, analysis_reason="", analyze_at=timezone.now()
        )
        count += release()
        if count:
            audit.record(by=by, verb="analysis.retried", detail={"conversations": count})
            enqueue("intake.sweep")
    return count
