"""End conversations that are silent.

The end is one transaction: status, ``analyze_at``, and the event ``conversation.ended``. The sweep
ends silent conversations, and requests first analyses that are due later, or whose request was
lost in a crash (`apps.analysis.auto_analysis`).
"""

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Prefetch
from django.utils import timezone

from apps.agents.models import Channel
from apps.analysis.auto_analysis import Requested, defer_to_platform, request_due
from apps.conversations import rows
from apps.conversations.models import INACTIVITY, Conversation, Status, Transfer
from apps.conversations.services import GROUP
from apps.webhooks import outbox

from .platform_analysis import RulesOf

SWEEP_SECONDS = 2.0
"""A sweep that has more to do than this leaves the rest to the next one."""


# Conversations of which nothing more is heard


def end_idle_chats(
    *, now: datetime | None = None, limit: int = GROUP, rules_of: RulesOf | None = None
) -> int:
    """End open chats that have been silent for as long as their agent's version allows, and calls
    that have been for CALL_SILENCE_HOURS.

    At most ``limit``; how many were looked at. One in which someone writes at this moment is
    locked by them and left alone; who comes a moment later finds it ended and opens it again.
    """
    now = now or timezone.now()
    with transaction.atomic():
        chats = list(_silent(now, limit))
        over = [chat for chat in chats if not _given_more_time(chat, now)]
        waiting = [chat for chat in chats if chat not in over]
        Conversation.objects.bulk_update(waiting, ["idle_at"])
        if over:
            _end(over, now, rules_of)
    if over:
        request_due(among=[chat.pk for chat in over], now=now)
    return len(chats)


def _given_more_time(chat: Conversation, now: datetime) -> bool:
    """Return whether its version allows more silence by now than when the last message came."""
    chat.idle_at = rows.idle_at(chat, _idle_seconds(chat))
    return chat.idle_at is None or chat.idle_at > now


def _end(chats: Sequence[Conversation], now: datetime, rules_of: RulesOf | None) -> None:
    """End silent ones in the caller's transaction; a platform's rule holds for this end too."""
    pks = [chat.pk for chat in chats]
    by_rule = rules_of(pks) if rules_of else {}
    for chat in chats:
        rule = by_rule.get(chat.pk)
        columns = _idle_columns(chat, rule.analyze_at(now) if rule else now)
    Conversation.objects.bulk_update(chats, list(columns))
    defer_to_platform(conversation_ids=[pk for pk, r in by_rule.items() if r.awaits_theirs])
    outbox.announce_ended(pks, now=now)


def _silent(now: datetime, limit: int) -> Any:
    transfers = Transfer.objects.select_related("to_version").order_by("position")
    return (
        Conversation.objects.filter(idle_at__lte=now)
        .select_related("agent_version")
        .prefetch_related(Prefetch("transfers", transfers))
        .select_for_update(of=("self",), skip_locked=True, no_key=True)
        .order_by("idle_at", "pk")[:limit]
    )


def _idle_seconds(chat: Conversation) -> int:
    versions = [chat.agent_version, *(t.to_version for t in chat.transfers.all())]
    return versions[-1].chat_idle_seconds


def _idle_columns(chat: Conversation, analyze_at: datetime | None) -> dict[str, Any]:
    """Return the columns that change, set on the chat: it ended when the last message was said."""
    said = chat.last_message_at or chat.sort_at
    ended_at = max(said, chat.started_at) if chat.started_at else said
    begun = chat.channel == Channel.CHAT or chat.status == Status.ONGOING or chat.message_count
    columns = rows.ended(
        chat,
        status=Status.ENDED if begun else Status.NOT_CONNECTED,
        ended_at=ended_at,
        disconnection_reason=INACTIVITY,
        analyze_at=analyze_at,
    )
    everywhere = {"analysis_state": chat.analysis_state, "analysis_reason": chat.analysis_reason}
    return {**everywhere, **columns}


# The sweep


def sweep(
    *,
    now: datetime | None = None,
    seconds: float = SWEEP_SECONDS,
    rules_of: RulesOf | None = None,
) -> Requested:
    """End idle conversations and request due analyses, in groups, for about ``seconds``."""
    until = time.monotonic() + seconds
    while end_idle_chats(now=now, rules_of=rules_of) == GROUP and time.monotonic() < until:
        pass
    seen = queued = 0
    while True:
        done = request_due(now=now)
        seen, queued = seen + done.seen, queued + done.queued
        if done.seen < GROUP or time.monotonic() >= until:
            return Requested(seen, queued)
