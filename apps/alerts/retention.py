"""How long evaluations and messages are stored. Incidents live as long as their rule."""

from datetime import datetime, timedelta

from .models import Evaluation, Message, MessageState

KEPT = timedelta(days=30)


def forget_old(now: datetime) -> int:
    """Delete evaluations and messages that ended more than `KEPT` ago; return how many."""
    before = now - KEPT
    evaluations, _ = Evaluation.objects.filter(window_end__lt=before).delete()
    messages, _ = (
        Message.objects.exclude(state=MessageState.PENDING)
        .filter(created_at__lt=before, finished_at__lt=before)
        .delete()
    )
    return evaluations + messages
