"""Erasing conversations everywhere they left a trace.

Rows that refer to a conversation go with it; what is found by its ids instead (payloads, answers
kept for `Idempotency-Key`) is looked up here; rooms that keep a row without its words registered
for it (`apps.conversations.erasing`). The ledger keeps ids and money, the audit log who erased what
and why: neither holds words. What was erased is remembered by a keyed hash, so that a platform
that sends it once more does not bring it back. Decision 0017 has the reasons.
"""

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import ClassVar

from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from apps.accounts import audit, idempotency
from apps.accounts.actors import Actor
from apps.conversations.erasing import forget_in_rooms
from apps.conversations.inputs import ConversationInput, LineRefused
from apps.conversations.models import Conversation
from apps.conversations.people import delete_orphans
from apps.conversations.querysets import ConversationQuerySet
from apps.conversations.services import Outcome, Result, Stored, stored_of
from apps.core.database import is_passing

from .models import Erased, IntakePayload

Line = ConversationInput | LineRefused
ERASED = "erased"
"""Code of the refusal of what was erased; such a line is kept nowhere."""
ERASED_VERB = "conversation.erased"
GROUP = 200
"""Conversations per transaction: each group is whole, and whoever comes again goes on after it."""
TELLING = 8
"""Characters from which on an id, met anywhere in a text, is taken for that id."""
REMEMBERED = timedelta(days=90)
"""How long a door recognises what was erased; platforms stop sending again after days."""


def erase(*, conversations: ConversationQuerySet, by: Actor, why: str) -> int:
    """Erase these conversations, each whole or not at all; how many went.

    ``why`` goes to the audit log: “asked for on its page”, “kept for 30 days”; no words of theirs.
    In groups, one transaction each, unless the caller has one open. One that somebody is writing
    at this moment is waited for at the end. An analysis in flight ends without a result; what it
    costs still reaches the ledger.
    """
    wanted = list(conversations.order_by().values_list("pk", flat=True))
    few = len(wanted) <= GROUP
    gone: set[int] = set()
    for wait in (False, True):
        left = sorted(set(wanted) - gone)
        for start in range(0, len(left), GROUP):
            gone |= _erase_surely(left[start : start + GROUP], by, why, wait=wait, each=few)
    return len(gone)


def is_erased(*, source: str, external_id: str) -> bool:
    """Whether a conversation of this source and id was erased of late, and must not come back."""
    return bool(erased_among([(source, external_id)]))


def erased_among(keys: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those of the (source, external id) that were erased and must not come back."""
    by_digest = {d: key for key in keys if key[1] for d in _digests(*key)}
    if not by_digest:
        return set()
    with connection.cursor() as cursor:  # twice a conversation that comes in: as short as can be
        cursor.execute("SELECT digest FROM intake_erased WHERE digest = ANY(%s)", [list(by_digest)])
        return {by_digest[bytes(digest)] for (digest,) in cursor}


class WasErased(LineRefused):
    """A door got what was erased. Platforms are told that it is well, so that they stop."""

    status: ClassVar[int] = 409

    def __init__(self) -> None:
        super().__init__(
            ERASED,
            "This conversation was erased and is not taken in again. A new one needs an "
            "external_id of its own.",
        )


def refuse_erased(lines: Sequence[Line]) -> list[Line]:
    """The lines of one group, with a refusal in the place of each that was erased."""
    keys = [_key_of(line) if isinstance(line, ConversationInput) else None for line in lines]
    gone = erased_among(key for key in keys if key)
    return [WasErased() if key in gone else line for key, line in zip(keys, lines, strict=True)]


def take_back(results: Sequence[Result]) -> list[Result]:
    """Undo what was just stored anew and erased at the same moment.

    The erasure committed after `refuse_erased` looked and before the row could be written again;
    called in the transaction that stored them, it sees every such erasure.
    """
    fresh = [r.conversation for r in stored_of(results) if r.outcome == Outcome.ACCEPTED]
    gone = erased_among(_key_of(c) for c in fresh)
    if not gone:
        return list(results)
    again = [c for c in fresh if _key_of(c) in gone]
    Conversation.objects.filter(pk__in=[c.pk for c in again]).delete()
    delete_orphans(c.contact_id for c in again if c.contact_id)
    return [
        WasErased() if isinstance(r, Stored) and r.conversation in again else r for r in results
    ]


def _key_of(line: ConversationInput | Conversation) -> tuple[str, str]:
    return line.source, line.external_id


def forget_erased(*, now: datetime) -> int:
    """Drop what no platform is expected to send any more; how many."""
    deleted, _ = Erased.objects.filter(at__lt=now - REMEMBERED).delete()
    return deleted


def _erase_surely(pks: Sequence[int], by: Actor, why: str, *, wait: bool, each: bool) -> set[int]:
    """`_erase_group`, again where it met a replay: that has a payload first, and then wants the
    conversation, so that each waits for the other until the database lets one of them go."""
    for tries_left in (2, 1, 0):
        try:
            return _erase_group(pks, by, why, wait=wait, each=each)
        except OperationalError as error:
            if not tries_left or connection.in_atomic_block or not is_passing(error):
                raise
    raise AssertionError("unreachable")


def _erase_group(pks: Sequence[int], by: Actor, why: str, *, wait: bool, each: bool) -> set[int]:
    """One group in one transaction; the primary keys of those that went.

    Conversations are locked first, as everywhere. Without ``wait`` those that are locked by
    somebody else are left for later.
    """
    with transaction.atomic():
        rows = list(
            Conversation.objects.select_for_update(skip_locked=not wait)
            .filter(pk__in=pks)
            .order_by("pk")
            .only("public_id", "source", "external_id", "contact_id")
        )
        if not rows:
            return set()
        ids = [row.pk for row in rows]
        forget_in_rooms(ids)
        payloads_of(rows).delete()
        idempotency.forget_about([row.public_id for row in rows])
        _delete_first(ids)
        Conversation.objects.filter(pk__in=ids).delete()
        delete_orphans({row.contact_id for row in rows if row.contact_id})
        _remember(rows)
        _write_down(rows, by, why, each=each)
    return set(ids)


def payloads_of(conversations: Sequence[Conversation]) -> QuerySet[IntakePayload]:
    """What doors kept of these conversations: taken payloads by their conversation, refused ones
    by its id at the platform, and unreadable ones in which that id stands somewhere."""
    found = Q(conversation__in=[c.pk for c in conversations])
    by_source: dict[str, list[str]] = {}
    for c in conversations:
        by_source.setdefault(c.source, []).append(c.external_id)
    for source, ids in by_source.items():
        account = Q(source__kind=source) | Q(source__name=source) | Q(source__public_id=source)
        door = account | Q(source=None, source_name=source)
        found |= door & Q(external_id__in=ids)
    unread = _unread_with([c.external_id for c in conversations])
    return IntakePayload.objects.filter(found | Q(pk__in=unread))


_UNREAD = """
SELECT DISTINCT p.id FROM intake_intakepayload p, unnest(%s::text[]) AS v(id)
WHERE p.external_id = '' AND p.conversation_id IS NULL AND p.state = 'refused'
  AND (position(convert_to(v.id, 'UTF8') IN p.raw) > 0 OR position(v.id IN p.body::text) > 0)
"""


def _unread_with(external_ids: Sequence[str]) -> list[int]:
    """Refused payloads whose conversation nobody could tell; short ids say too little."""
    telling = [external_id for external_id in external_ids if len(external_id) >= TELLING]
    with connection.cursor() as cursor:
        cursor.execute(_UNREAD, [telling])
        return [pk for (pk,) in cursor.fetchall()]


# Django would look for what refers to each of these; they go in an order in which nothing does.
_FIRST = (
    "DELETE FROM analysis_analysis WHERE conversation_id = ANY(%s)",
    """DELETE FROM webhooks_delivery d USING webhooks_event e
       WHERE e.id = d.event_id AND e.conversation_id = ANY(%s)""",
    "DELETE FROM webhooks_event WHERE conversation_id = ANY(%s)",
)


def _delete_first(ids: Sequence[int]) -> None:
    with connection.cursor() as cursor:
        for statement in _FIRST:
            cursor.execute(statement, [list(ids)])


def _remember(rows: Sequence[Conversation]) -> None:
    now = timezone.now()
    Erased.objects.bulk_create(
        [Erased(digest=_digests(row.source, row.external_id)[0], at=now) for row in rows],
        update_conflicts=True,
        unique_fields=["digest"],
        update_fields=["at"],
    )


def _write_down(rows: Sequence[Conversation], by: Actor, why: str, *, each: bool) -> None:
    """Few are named one by one, so that the log can be asked for one; many are counted."""
    detail: dict[str, object] = {"why": why}
    if each:
        targets = [row.public_id for row in rows]
        audit.record_each(by=by, verb=ERASED_VERB, targets=targets, detail=detail)
    else:
        audit.record(by=by, verb=ERASED_VERB, detail=detail | {"conversations": len(rows)})


def _digests(source: str, external_id: str) -> list[bytes]:
    """Keyed hashes, by the present SECRET_KEY first, then by those that were in use before."""
    text = f"{source}\0{external_id}".encode(errors="surrogatepass")
    keys = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return [hmac.digest(_key(key), text, "sha256") for key in keys]


@lru_cache(maxsize=8)
def _key(secret: str) -> bytes:
    return hashlib.sha256(b"debrief erased conversations\0" + secret.encode()).digest()
