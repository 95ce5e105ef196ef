"""Send messages: mails by Django's mail settings, posts to Slack and Teams by the guarded client.

A queue of leased rows, like a webhook's deliveries: nothing is lost while a mail server or a chat
program is down, and a message whose worker was killed is sent again with the same ID.
"""

import asyncio
import json
import smtplib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import connection, transaction
from django.utils import timezone

from apps.core import cipher
from apps.core.guarded_client import GuardedClient, beginning, failure_text, retry_after
from apps.work import backoff
from apps.work.queue import EXPIRED, SET_LEASE, LeasedTable, Queue, write_outcomes

from .chat_bodies import chat_body
from .models import Message, MessageKind, MessageState

MESSAGES = LeasedTable(
    "alerts_message", seconds=settings.WEBHOOK_TIMEOUT_SECONDS * 2, held_as="pending"
)
_HEADERS = {"content-type": "application/json; charset=utf-8", "user-agent": "Debrief-Alerts/1"}


@dataclass(frozen=True, slots=True)
class ClaimedMessage:
    """A message held by ``token``. ``problem`` says why it can't even be sent."""

    key: int
    token: UUID
    public_id: str
    kind: str
    address: str
    url: str
    subject: str
    body: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class MessageOutcome:
    """An attempt that ended at ``at``; ``error`` is empty for a success."""

    job: ClaimedMessage
    at: datetime
    error: str = ""
    final: bool = False
    retry_after: timedelta | None = None

    def without_answer(self) -> "MessageOutcome":
        """Return the outcome without a text that can't be stored."""
        return replace(self, error=self.error and "The message couldn’t be sent.")


class MessageQueue(Queue[ClaimedMessage, MessageOutcome]):
    """Pending messages. ``clock`` decides which are due."""

    name = "alert_messages"
    table = MESSAGES
    client_class = GuardedClient
    concurrency = 8

    def __init__(self, clock: Callable[[], datetime] = timezone.now) -> None:
        self._clock = clock

    def claim(self, limit: int) -> list[ClaimedMessage]:
        return claim(limit=limit, now=self._clock())

    async def perform(
        self, job: ClaimedMessage, client: GuardedClient, on_send: Callable[[], None]
    ) -> MessageOutcome:
        on_send()
        if job.problem:
            return MessageOutcome(job, self._clock(), job.problem, final=True)
        if job.kind == MessageKind.EMAIL:
            error = await asyncio.to_thread(_mail, job)
            return MessageOutcome(job, self._clock(), error)
        return await _post(job, client, self._clock())

    def record(self, outcomes: Sequence[MessageOutcome]) -> None:
        write_outcomes(outcomes, _record, without_answer=MessageOutcome.without_answer)


def work_waits(now: datetime) -> bool:
    """Return whether a message may be due."""
    return Message.objects.filter(state=MessageState.PENDING, not_before__lte=now).exists()


_CLAIM = f"""
WITH due AS MATERIALIZED (
  SELECT r.id FROM alerts_message r
  WHERE r.state = 'pending' AND r.not_before <= %(now)s
    AND (r.lease_until IS NULL OR {EXPIRED})
  ORDER BY r.not_before, r.id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), taken AS (
  UPDATE alerts_message r SET {SET_LEASE} FROM due WHERE r.id = due.id
  RETURNING r.id, r.public_id, r.kind, r.address, r.channel_id, r.subject, r.body
)
SELECT t.id, t.public_id, t.kind, t.address, c.url_encrypted, t.subject, t.body
FROM taken t LEFT JOIN alerts_notificationchannel c ON c.id = t.channel_id ORDER BY t.id
"""


def claim(*, limit: int, now: datetime) -> list[ClaimedMessage]:
    """Lease up to ``limit`` due messages, the oldest first."""
    values = MESSAGES.values() | {"now": now, "limit": limit}
    jobs = []
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, values)
        for key, public_id, kind, address, sealed, subject, body in cursor.fetchall():
            url = problem = ""
            try:
                url = cipher.decrypt(sealed) if sealed is not None else ""
            except cipher.Unreadable as error:
                problem = error.message
            jobs.append(
                ClaimedMessage(
                    key, values["token"], public_id, kind, address, url, subject, body, problem
                )
            )
    return jobs


def _mail(job: ClaimedMessage) -> str:
    """Send a mail; return why it failed, or nothing."""
    domain = settings.DEFAULT_FROM_EMAIL.rpartition("@")[2].strip("> ") or "localhost"
    mail = EmailMessage(
        subject=job.subject.replace("\n", " ").replace("\r", " "),
        body=job.body,
        to=[job.address],
        headers={"Message-ID": f"<{job.public_id}@{domain}>", "Auto-Submitted": "auto-generated"},
    )
    try:
        mail.send()
    except (smtplib.SMTPException, OSError, ValueError) as error:
        return f"The mail server didn’t accept the message: {error}"[:500]
    return ""


async def _post(job: ClaimedMessage, client: GuardedClient, now: datetime) -> MessageOutcome:
    deadline = asyncio.get_running_loop().time() + settings.WEBHOOK_TIMEOUT_SECONDS
    body = json.dumps(chat_body(job.kind, job.subject, job.body), ensure_ascii=False)
    try:
        async with asyncio.timeout_at(deadline):
            response = await client.session.post(
                job.url, data=body.encode(), headers=_HEADERS, allow_redirects=False
            )
        async with response:
            if 200 <= response.status < 300:
                return MessageOutcome(job, now)
            text = (await beginning(response, deadline))[:200].strip()
            error = f"{job.kind.capitalize()} returned {response.status}: {text}".rstrip(": ")
            wait = retry_after(response.headers.get("Retry-After", ""), now)
            final = response.status in {403, 404, 410}
            return MessageOutcome(job, now, error, final=final, retry_after=wait)
    except Exception as error:  # noqa: BLE001 (a receiver may break anything)
        return MessageOutcome(job, now, failure_text(error, settings.WEBHOOK_TIMEOUT_SECONDS))


def _record(outcomes: Sequence[MessageOutcome]) -> None:
    with transaction.atomic():
        held = MESSAGES.lock([outcome.job for outcome in outcomes])
        rows = {m.pk: m for m in Message.objects.filter(pk__in=held)}
        for outcome in outcomes:
            message = rows.get(outcome.job.key)
            if message is not None:
                _settle(message, outcome)


def _settle(message: Message, outcome: MessageOutcome) -> None:
    """Write how an attempt ended: sent, failed for good, or retried later."""
    message.attempts += 1
    message.first_attempt_at = message.first_attempt_at or outcome.at
    message.last_error = outcome.error
    message.lease_token = message.lease_until = None
    again = backoff.next_try(
        attempts=message.attempts, first=message.first_attempt_at, now=outcome.at,
        retry_after=outcome.retry_after,
    )  # fmt: skip
    if outcome.error and again and not outcome.final:
        message.not_before = again
    else:
        message.state = MessageState.FAILED if outcome.error else MessageState.SENT
        message.finished_at = outcome.at
    message.save()
