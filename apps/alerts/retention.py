"""How long evaluations, messages, and notices of caps are stored.

Incidents live as long as their rule.
"""

from datetime import datetime, timedelta

from .models import CapNotice, Evaluation, Message, MessageState

KEPT = timedelta(days=30)
CAP_NOTICES_KEPT = timedelta(days=92)
"""Longer than a month: During its period, a notice keeps the cap from being announced."""


def forget_old(now: datetime) -> int:
    """Delete rows that are older than `KEPT` and `CAP_NOTICES_KEPT`; return how many."""
    before = now - KEPT
    evaluations, _ = Evaluation.objects.filter(window_end__lt=before).delete()
    messages, _ = (
        Message.objects.exclude(state=MessageState.PENDING)
        .filter(created_at__lt=before, finished_at__lt=before)
        .delete()
    )
    before = now - CAP_NOTICES_KEPT
    notices, _ = CapNotice.objects.filter(created_at__lt=before).delete()
    return evaluations + messages + notices
