"""API keys: making them, checking them, ending them.

A key reads `dbk_` + 8 characters to know it by + `_` + 43 secret ones (256 bits).
"""

import hashlib
import hmac
import re
from datetime import timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from apps.accounts import audit
from apps.accounts.actors import Actor
from apps.accounts.models import ApiKey, Role
from apps.core.database import columns_of, read_models, some_columns
from apps.core.errors import Conflict
from apps.core.ids import random_base62

KEY = re.compile(r"(dbk_[0-9A-Za-z]{8})_[0-9A-Za-z]{43}")
LAST_USED_EVERY = timedelta(minutes=1)
NO_HASH = "0" * 64
_PART = some_columns(ApiKey)
#: Written out: it runs with every request of the API.
_BY_PREFIX = f"SELECT {columns_of(_PART)} FROM accounts_apikey WHERE prefix = %s"  # noqa: S608


class AlreadyRevoked(Conflict):
    """Someone else was quicker."""

    code = "already_revoked"


@transaction.atomic
def create_api_key(*, name: str, role: Role, by: Actor) -> tuple[ApiKey, str]:
    """Make a key. The text next to it is the whole key: no one can show it again."""
    prefix = f"dbk_{random_base62(8)}"
    secret = f"{prefix}_{random_base62(43)}"
    key = ApiKey.objects.create(
        name=name, role=role, prefix=prefix, sha256=_hash(secret), created_by=by.label
    )
    audit.record(
        by=by, verb="api_key.created", target=key.public_id, detail={"name": name, "role": role}
    )
    return key, secret


@transaction.atomic
def revoke_api_key(*, key: ApiKey, by: Actor) -> None:
    """End a key at once and for good. Raises AlreadyRevoked."""
    now = timezone.now()
    ended = ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(
        revoked_at=now, revoked_by=by.label
    )
    if not ended:
        raise AlreadyRevoked(f"The key {key.name} is already revoked.")
    key.revoked_at, key.revoked_by = now, by.label
    audit.record(by=by, verb="api_key.revoked", target=key.public_id, detail={"name": key.name})


def authenticate_key(header: str) -> ApiKey | None:
    """The living key that an `Authorization` header holds (with or without `Bearer`), or None.

    Takes as long for a wrong secret as for an unknown key. Notes the use once a minute at most,
    so that a busy caller does not write a row with each request.
    """
    text = header.strip()
    if text[:7].lower() == "bearer ":
        text = text[7:].strip()
    match = KEY.fullmatch(text)
    if match is None:
        return None
    key: ApiKey | None = next((row for (row,) in read_models(_BY_PREFIX, [match[1]], _PART)), None)
    right = hmac.compare_digest(_hash(text), key.sha256 if key else NO_HASH)
    if key is None or not right or not key.is_active:
        return None
    _note_use(key)
    return key


def _note_use(key: ApiKey) -> None:
    now = timezone.now()
    if key.last_used_at is not None and key.last_used_at > now - LAST_USED_EVERY:
        return
    stale = Q(last_used_at=None) | Q(last_used_at__lte=now - LAST_USED_EVERY)
    ApiKey.objects.filter(stale, pk=key.pk).update(last_used_at=now)
    key.last_used_at = now


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
