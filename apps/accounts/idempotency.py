"""`Idempotency-Key`: the same write sent twice is done once (interfaces.md).

claim = idempotency.claim(key=…, path=…, actor=…, request=body, now=now)
if isinstance(claim, Answer):
    return it again
try: … the write … ; claim.keep(status, body)
except: claim.forget(); raise
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from apps.accounts.actors import Actor
from apps.accounts.models import IdempotencyKey
from apps.core.errors import BadRequest, Conflict, UserError

KEPT = timedelta(hours=24)
ABANDONED = timedelta(minutes=5)
"""After this long a first request without an answer is taken for dead (its process was killed)."""
KEY_MAX = 200


class InProgress(Conflict):
    """The first request with this key is still at work."""

    code = "idempotency_in_progress"


class KeyReused(UserError):
    """The key came before with another body."""

    code = "idempotency_key_reused"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the first request was told."""

    status: int
    body: str


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to do the write; ends with `keep` or `forget`."""

    pk: int

    def keep(self, status: int, body: str) -> None:
        """Store the answer for the next request with this key."""
        IdempotencyKey.objects.filter(pk=self.pk).update(status=status, body=body)

    def forget(self) -> None:
        """The write did not happen: the key is free again."""
        IdempotencyKey.objects.filter(pk=self.pk).delete()


def claim(*, key: str, path: str, actor: Actor, request: bytes, now: datetime) -> Claim | Answer:
    """Take this key for one write, or get the answer that it had within the last 24 hours.

    Raises InProgress (409), KeyReused (422), BadRequest for a key that is empty or too long.
    """
    if not 0 < len(key) <= KEY_MAX or "\0" in key:
        raise BadRequest(f"Idempotency-Key must have 1 to {KEY_MAX} characters.")
    who = {"actor": actor.label, "path": path[:300], "key": key}
    sha256 = hashlib.sha256(request).hexdigest()
    old = Q(created_at__lte=now - KEPT) | Q(status=None, created_at__lte=now - ABANDONED)
    with transaction.atomic():
        IdempotencyKey.objects.filter(old, **who).delete()
        row, new = IdempotencyKey.objects.get_or_create(
            **who, defaults={"request_sha256": sha256, "created_at": now}
        )
    if new:
        return Claim(row.pk)
    if row.request_sha256 != sha256:
        raise KeyReused(
            f"The Idempotency-Key {key} was used for another request. Use a new key for a new one."
        )
    if row.status is None:
        raise InProgress("The first request with this Idempotency-Key is still at work.")
    return Answer(row.status, row.body)
