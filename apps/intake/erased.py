"""Erased conversations: remember them by a keyed hash, and reject what sends them again.

A platform may send a conversation once more after it was erased. The hash says nothing to anyone
who does not know the conversation's source and ID. Decision 0017 has the reasons.
"""

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import ClassVar

from django.conf import settings
from django.db import connection
from django.utils import timezone

from apps.conversations.inputs import ConversationInput, LineRefused
from apps.conversations.models import Conversation
from apps.conversations.orphans import delete_orphans
from apps.conversations.services import Result, Stored, StoreOutcome, stored_of

from .models import Erased

ERASED = "erased"
"""The error code of an erased conversation. A line rejected with it is stored nowhere."""
REMEMBERED = timedelta(days=90)
"""How long an erased conversation is recognized; platforms stop sending again after days."""


class ConversationErased(LineRefused):
    """Raised when a conversation arrives that was erased. Platforms get a success response, so
    that they stop sending it."""

    status: ClassVar[int] = 409

    def __init__(self) -> None:
        super().__init__(
            ERASED,
            "This conversation was erased and can’t be sent again for 90 days. To send a new "
            "conversation, use a different external_id.",
        )


def remember(conversations: Iterable[Conversation]) -> None:
    """Remember that these conversations were erased, in the caller's transaction."""
    now = timezone.now()
    Erased.objects.bulk_create(
        [Erased(digest=_digests(*_key_of(one))[0], at=now) for one in conversations],
        update_conflicts=True,
        unique_fields=["digest"],
        update_fields=["at"],
    )


def is_erased(*, source: str, external_id: str) -> bool:
    """Return whether a conversation was erased recently and must not come back."""
    return bool(erased_among([(source, external_id)]))


def erased_among(keys: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return those of the (source, external ID) that were erased and must not come back."""
    by_digest = {d: key for key in keys if key[1] for d in _digests(*key)}
    if not by_digest:
        return set()
    with connection.cursor() as cursor:  # raw: it runs twice for every conversation that arrives
        cursor.execute("SELECT digest FROM intake_erased WHERE digest = ANY(%s)", [list(by_digest)])
        return {by_digest[bytes(digest)] for (digest,) in cursor}


def refuse_erased(
    lines: Sequence[ConversationInput | LineRefused],
) -> list[ConversationInput | LineRefused]:
    """Return the lines of one group, with an error in the place of each that was erased."""
    keys = [_key_of(line) if isinstance(line, ConversationInput) else None for line in lines]
    gone = erased_among(key for key in keys if key)
    return [
        ConversationErased() if key in gone else line for key, line in zip(keys, lines, strict=True)
    ]


def undo_reingested(results: Sequence[Result]) -> list[Result]:
    """Delete conversations that were stored while they were being erased.

    Such an erasure committed after `refuse_erased` looked and before the row was written. This
    runs in the transaction that stored them, so it sees every such erasure.
    """
    fresh = [r.conversation for r in stored_of(results) if r.outcome == StoreOutcome.ACCEPTED]
    gone = erased_among(_key_of(c) for c in fresh)
    if not gone:
        return list(results)
    again = [c for c in fresh if _key_of(c) in gone]
    Conversation.objects.filter(pk__in=[c.pk for c in again]).delete()
    delete_orphans(c.contact_id for c in again if c.contact_id)
    return [
        ConversationErased() if isinstance(r, Stored) and r.conversation in again else r
        for r in results
    ]


def forget_erased(*, now: datetime) -> int:
    """Delete what no platform is expected to send any longer. Return how many."""
    deleted, _ = Erased.objects.filter(at__lt=now - REMEMBERED).delete()
    return deleted


def _key_of(line: ConversationInput | Conversation) -> tuple[str, str]:
    return line.source, line.external_id


def _digests(source: str, external_id: str) -> list[bytes]:
    """Return keyed hashes, by the current SECRET_KEY first, then by earlier ones."""
    text = f"{source}\0{external_id}".encode(errors="surrogatepass")
    keys = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return [hmac.digest(_key(key), text, "sha256") for key in keys]


@lru_cache(maxsize=8)
def _key(secret: str) -> bytes:
    return hashlib.sha256(b"debrief erased conversations\0" + secret.encode()).digest()
