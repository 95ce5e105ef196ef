"""`Idempotency-Key`: the same write sent twice is done once.

claim = idempotency.claim(key=…, path=…, actor=…, sha256=…, now=now)
if isinstance(claim, StoredResponse):
    return it again
try: … the write … ; claim.keep(status, body)
except: claim.forget(); raise
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Func, Q, TextField

from apps.accounts.actors import Actor
from apps.accounts.models import NAMED, IdempotencyKey
from apps.core.errors import BadRequest, Conflict, Example, UserError

KEPT = timedelta(hours=24)
ABANDONED = timedelta(minutes=5)
"""After this long a first request without a response is taken for dead (its process was killed)."""
KEY_MAX = 200
BULK = "POST /api/conversations/bulk"


class InProgress(Conflict):
    """The first request with this key is still running."""

    code = "idempotency_in_progress"
    example = Example(
        "A request with this Idempotency-Key is still in progress. Retry in a few seconds."
    )


class KeyReused(UserError):
    """The key came before with another body."""

    code = "idempotency_key_reused"
    example = Example(
        "Idempotency-Key “k-1” was already used with a different request. Use a new key."
    )


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """The response to the first request."""

    status: int
    body: str
    request_sha256: str

    def check(self, key: str, sha256: str) -> None:
        """Raise KeyReused (422) unless the first request had the body with this hash."""
        if self.request_sha256 != sha256:
            raise KeyReused(
                f"Idempotency-Key “{key}” was already used with a different request. Use a new key."
            )


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to do the write; ends with `keep` or `forget`."""

    pk: int

    def keep(self, status: int, body: str, *, sha256: str | None = None) -> None:
        """Store the response for the next request with this key.

        ``sha256`` is the hash of a body that was not known when the claim was made.
        """
        late = {} if sha256 is None else {"request_sha256": sha256}
        IdempotencyKey.objects.filter(pk=self.pk).update(status=status, body=body, **late)

    def forget(self) -> None:
        """The write did not happen: the key is free again."""
        IdempotencyKey.objects.filter(pk=self.pk).delete()


def forget_about(conversation_ids: Sequence[str]) -> int:
    """Drop the responses that are about these conversations (public ids); how many.

    For erasing: such a response may hold the whole transcript. A response that is about a
    conversation names it first of all, by which an index finds it. A bulk upload's report of
    rejected lines may quote any of them: those responses go too, and the same upload again changes
    nothing.
    """
    named = Func(F("body"), template=NAMED, output_field=TextField())
    rows = IdempotencyKey.objects.alias(named=named).filter(named__in=conversation_ids)
    bulk = IdempotencyKey.objects.filter(path=BULK).exclude(body__contains='"errors":[]')
    return rows.delete()[0] + bulk.exclude(status=None).delete()[0]


def claim(
    *, key: str, path: str, actor: Actor, sha256: str | None, now: datetime
) -> Claim | StoredResponse:
    """Take this key for one write, or get the response that it had within the last 24 hours.

    ``sha256`` is the hash of the body. None where it is read only while the write is done: then
    `Claim.keep` gets it, and `StoredResponse.check` holds the second body against the first.
    Raises InProgress (409), KeyReused (422), BadRequest for a key that is empty or too long.
    """
    if not 0 < len(key) <= KEY_MAX or "\0" in key:
        raise BadRequest(f"Idempotency-Key must have 1 to {KEY_MAX} characters.")
    who = {"actor": actor.label, "path": path[:300], "key": key}
    old = Q(created_at__lte=now - KEPT) | Q(status=None, created_at__lte=now - ABANDONED)
    with transaction.atomic():
        IdempotencyKey.objects.filter(old, **who).delete()
        row, new = IdempotencyKey.objects.get_or_create(
            **who, defaults={"request_sha256": sha256 or "", "created_at": now}
        )
    if new:
        return Claim(row.pk)
    first = StoredResponse(row.status or 0, row.body, row.request_sha256)
    if sha256 is not None:
        first.check(key, sha256)
    if row.status is None:
        raise InProgress(
            "A request with this Idempotency-Key is still in progress. Retry in a few seconds."
        )
    return first
