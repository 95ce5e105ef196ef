"""Payloads of platforms as rows: stored for inspection and replay, within bounds.

Payloads of unauthenticated senders are bounded in number and size. Of events without content, such
as the many during a call, the last of its kind is stored per conversation; an exact repetition
replaces the first. Accepted payloads are deleted after a time: their content is in the conversation
(decision 0010).
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import Q, QuerySet

from apps.conversations.models import Conversation
from apps.core.cipher import Unreadable, decrypt, encrypt
from apps.core.errors import UserError
from apps.llm.text import sanitise

from .adapter import Arrived
from .models import IntakePayload, IntakeSource, PayloadState
from .rejected_lines import storable

UNFINISHED = "unfinished"
UNSIGNED_KEPT = 50
"""Of each source; the oldest are deleted."""
UNSIGNED_BYTES = 256 * 1024
IGNORED_BYTES = 64 * 1024
"""Of longer ones only the beginning is stored."""
TAKEN_KEPT = timedelta(days=30)
UNCLAIMED_KEPT = timedelta(days=90)
TELLING_ID = 8
"""Characters from which on an ID, found anywhere in a text, is taken for that ID."""


def keep(
    *,
    source: IntakeSource,
    body: bytes,
    refusal: UserError,
    arrived: Arrived | None = None,
) -> IntakePayload:
    """Store a rejected payload that is signed, whole; an equal one from before is deleted."""
    payload = _row(source, body)
    payload.state, payload.code = PayloadState.REFUSED, refusal.code[:50]
    payload.reason = sanitise(refusal.message)
    return _kept(payload, arrived)


def keep_taken(
    *, source: IntakeSource, body: bytes, arrived: Arrived, conversation: Conversation
) -> IntakePayload:
    """Store an accepted payload in the transaction that stored its conversation; an equal one
    from before is deleted."""
    payload = _row(source, body)
    payload.state, payload.conversation = PayloadState.TAKEN, conversation
    payload.note = arrived.note
    return _kept(payload, arrived)


def _kept(payload: IntakePayload, arrived: Arrived | None) -> IntakePayload:
    if arrived is not None:
        payload.external_id, payload.event = _ids(arrived)
    return _insert(payload, _IN_PLACE_OF_EQUAL)


def keep_ignored(*, source: IntakeSource, body: bytes, arrived: Arrived) -> IntakePayload:
    """Return an event that carries nothing to store, with the reason as its note."""
    payload = _row(source, body, limit=IGNORED_BYTES)
    payload.state, payload.note = PayloadState.TAKEN, arrived.note
    payload.external_id, payload.event = _ids(arrived)
    return _insert(payload, _IN_PLACE_OF_EVENT)


_COLUMNS = (
    "source_id",
    "external_id",
    "event",
    "raw",
    "size",
    "cut",
    "state",
    "code",
    "reason",
    "note",
    "conversation_id",
)
_IN_PLACE_OF = f"""
WITH given AS (SELECT %s::jsonb AS body), before AS (
  DELETE FROM platforms_intakepayload p USING given
  WHERE p.source_id = %s AND p.external_id = %s AND p.event = %s AND {{condition}})
INSERT INTO platforms_intakepayload (body, {", ".join(_COLUMNS)})
SELECT given.body{", %s" * len(_COLUMNS)} FROM given RETURNING id, received_at
"""  # noqa: S608 (columns named above)
# Not those that a replay is at work on at this moment.
_IN_PLACE_OF_EQUAL = _IN_PLACE_OF.format(
    condition="p.external_id <> '' AND p.body = given.body AND p.replay_asked_by = ''"
)
_IN_PLACE_OF_EVENT = _IN_PLACE_OF.format(
    condition="p.state = 'taken' AND p.conversation_id IS NULL"
)


def _insert(payload: IntakePayload, statement: str) -> IntakePayload:
    """Store a payload and delete those that it replaces, in one statement: it runs for every
    webhook, and Django's own insert and delete cost as much as storing the conversation."""
    body = None if payload.body is None else json.dumps(payload.body, ensure_ascii=False)
    alike = [payload.source_id, payload.external_id, payload.event]
    values = [getattr(payload, name) for name in _COLUMNS]
    with connection.cursor() as cursor:
        cursor.execute(statement, [body, *alike, *values])
        payload.pk, payload.received_at = cursor.fetchone()
    return payload


def keep_unsigned(
    *, source: IntakeSource, body: bytes, headers: Mapping[str, str], refusal: UserError
) -> IntakePayload:
    """A payload of an unverified sender. Its headers are stored as ciphertext: one may be a secret
    that is entered here a moment later, by which it can then be replayed."""
    payload = IntakePayload(
        source=source,
        raw=body[:UNSIGNED_BYTES],  # a signature is of bytes, not of the value that they spell
        size=len(body),
        cut=len(body) > UNSIGNED_BYTES,
        state=PayloadState.REFUSED,
        code=refusal.code[:50],
        reason=refusal.message,
    )
    payload.signed_encrypted = encrypt(json.dumps(dict(headers)))
    payload.save()
    unsigned = IntakePayload.objects.refused().filter(source=source, signed_encrypted__isnull=False)
    last = unsigned.order_by("-received_at", "-pk").values_list("received_at", "pk")
    for received_at, pk in last[UNSIGNED_KEPT : UNSIGNED_KEPT + 1]:
        older = Q(received_at__lt=received_at) | Q(received_at=received_at, pk__lte=pk)
        unsigned.filter(older).delete()
    return payload


def refuse(payload: IntakePayload, refusal: UserError) -> IntakePayload:
    """Write down why it is rejected."""
    payload.state, payload.code = PayloadState.REFUSED, refusal.code[:50]
    payload.reason = sanitise(refusal.message)
    return _written(payload)


def take(payload: IntakePayload, conversation: Conversation | None, note: str) -> IntakePayload:
    """Write down that it was taken, and into which conversation."""
    payload.state, payload.code, payload.reason = PayloadState.TAKEN, "", ""
    payload.conversation, payload.note = conversation, note
    payload.signed_encrypted = None
    return _written(payload)


_OUTCOME = (
    "state",
    "code",
    "reason",
    "conversation",
    "note",
    "external_id",
    "event",
    "signed_encrypted",
)


def _written(payload: IntakePayload) -> IntakePayload:
    """Update, not save: the row may have been deleted with its source or conversation."""
    values = {name: getattr(payload, name) for name in _OUTCOME}
    IntakePayload.objects.filter(pk=payload.pk).update(**values)
    return payload


def label(payload: IntakePayload, arrived: Arrived) -> None:
    """Whose it is, where that could not be read before."""
    payload.external_id, payload.event = _ids(arrived)


def body_of(payload: IntakePayload) -> bytes:
    """Return the bytes as received; for JSON that was stored as a value, the same value."""
    if payload.raw is not None:
        return bytes(payload.raw)
    return json.dumps(payload.body, ensure_ascii=False).encode()


def headers_of(payload: IntakePayload) -> dict[str, str]:
    """Return the headers by which it was signed, where it was rejected for them."""
    if payload.signed_encrypted is None:
        return {}
    try:
        found: dict[str, str] = json.loads(decrypt(payload.signed_encrypted))
    except Unreadable:
        return {}
    return found


def purge(*, now: datetime) -> int:
    """Delete payloads accepted long ago. Return their number. Conversations stay."""
    taken = IntakePayload.objects.filter(source__isnull=False, state=PayloadState.TAKEN)
    deleted, _ = taken.filter(received_at__lt=now - TAKEN_KEPT).delete()
    return deleted


def purge_unclaimed(*, now: datetime) -> int:
    """Delete old payloads of no conversation, accepted or rejected. Return how many."""
    unclaimed = IntakePayload.objects.filter(conversation=None)
    deleted, _ = unclaimed.filter(received_at__lt=now - UNCLAIMED_KEPT).delete()
    return deleted


# Finding the payloads of conversations that are erased


def payloads_of(conversations: Sequence[Conversation]) -> QuerySet[IntakePayload]:
    """Return the stored payloads of these conversations.

    Accepted ones are found by their conversation, rejected ones by its ID at the platform, and
    unreadable ones by that ID anywhere in them.
    """
    found = Q(conversation__in=[c.pk for c in conversations])
    by_source: dict[str, list[str]] = {}
    for c in conversations:
        by_source.setdefault(c.source, []).append(c.external_id)
    for source, ids in by_source.items():
        account = Q(source__kind=source) | Q(source__name=source) | Q(source__public_id=source)
        origin = account | Q(source=None, source_name=source)
        found |= origin & Q(external_id__in=ids)
    unread = _unread_with([c.external_id for c in conversations])
    return IntakePayload.objects.filter(found | Q(pk__in=unread))


_UNREAD = """
SELECT DISTINCT p.id FROM platforms_intakepayload p, unnest(%s::text[]) AS v(id)
WHERE p.external_id = '' AND p.conversation_id IS NULL AND p.state = 'refused'
  AND (position(convert_to(v.id, 'UTF8') IN p.raw) > 0 OR position(v.id IN p.body::text) > 0)
"""


def _unread_with(external_ids: Sequence[str]) -> list[int]:
    """Return rejected payloads without an ID of their own that hold one of these long IDs."""
    telling = [external_id for external_id in external_ids if len(external_id) >= TELLING_ID]
    with connection.cursor() as cursor:
        cursor.execute(_UNREAD, [telling])
        return [pk for (pk,) in cursor.fetchall()]


def _row(source: IntakeSource, body: bytes, limit: int | None = None) -> IntakePayload:
    cut = limit is not None and len(body) > limit
    value = None if cut else storable(body)
    raw = None if value is not None else body[:limit]
    blank = {"code": "", "reason": "", "note": ""}
    return IntakePayload(source=source, body=value, raw=raw, size=len(body), cut=cut, **blank)


def _ids(arrived: Arrived) -> tuple[str, str]:
    return sanitise(arrived.external_id)[:300], sanitise(arrived.event)[:100]
