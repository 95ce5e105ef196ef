"""Connections: created, changed, tested, disabled, deleted; pushes: approved and sent again."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from asgiref.sync import async_to_sync
from django.db import connection as database
from django.db import transaction
from django.utils import timezone

from apps.accounts import audit
from apps.accounts.actors import Actor
from apps.core import cipher, signatures
from apps.core.addresses import check_url
from apps.core.errors import Conflict, Example, UserError
from apps.work.queue import make_due

from . import mapping
from .claims import account_of
from .client import CrmClient
from .connectors.base import Account, Connector, ConnectorError, Findings
from .connectors.registry import CONNECTORS
from .models import CrmConnection, DisabledCause, Kind, Push, PushState
from .outbox import wake_pushes

logger = logging.getLogger(__name__)

NAME_LENGTH = 100
_SETTING_LENGTH = 2000


class InvalidConnection(UserError):
    """Raised where a connection can't be saved as asked; ``fields`` names the settings."""

    code = "invalid_connection"
    example = Example("name: Enter a name.", {"name": "Enter a name."})


class ConnectionFailed(Conflict):
    """Raised where the CRM can't be reached, or rejects the credentials."""

    code = "connection_failed"
    example = Example("HubSpot rejected the access token.")


class UnableToSend(Conflict):
    """Raised where a push can't be sent, approved, or rejected in its current state."""

    code = "not_sendable"
    example = Example("This push is already queued.")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The settings of a connection. ``settings`` are those of its connector, secrets included: a
    secret that is left out stays as it is."""

    name: str
    settings: Mapping[str, str] = field(default_factory=dict)
    field_map: Mapping[str, str] = field(default_factory=dict)
    create_missing: bool = False
    log_conversations: bool = False
    approval: bool = False
    site_url: str = ""


@transaction.atomic
def create_connection(*, kind: str, wanted: Wanted, by: Actor) -> tuple[CrmConnection, str]:
    """Create a connection; the text is the signing secret that was generated for it, if any.

    Raises InvalidConnection, or PrivateAddress for a URL in a private network.
    """
    if kind not in CONNECTORS:
        text = f"Unknown kind “{kind[:40]}”. Use {', '.join(CONNECTORS)}."
        raise InvalidConnection(text, {"kind": text})
    crm = CrmConnection(kind=kind, created_by=by.label)
    made = ""
    settings = dict(wanted.settings)
    if kind == Kind.HTTP and not settings.get("secret"):
        made = settings["secret"] = signatures.new_secret()
    _apply(crm, wanted, settings, {})
    crm.save()
    _note(by, "created", crm)
    return crm, made


@transaction.atomic
def change_connection(*, connection: CrmConnection, wanted: Wanted, by: Actor) -> CrmConnection:
    """Change a connection. Pending pushes are sent with the new settings. Raises
    InvalidConnection, or PrivateAddress."""
    crm = _locked(connection)
    try:
        secrets = dict(account_of(crm).secrets)
    except cipher.Unreadable:
        secrets = {}
    _apply(crm, wanted, wanted.settings, secrets)
    crm.updated_at, crm.rest_until = timezone.now(), None
    crm.save()
    _note(by, "changed", crm)
    wake_pushes()
    return crm


def _apply(
    crm: CrmConnection, wanted: Wanted, settings: Mapping[str, str], secrets: Mapping[str, str]
) -> None:
    """Put checked settings on a connection."""
    connector = CONNECTORS[crm.kind]
    found: dict[str, str] = {}
    name = wanted.name.strip()
    if not name or len(name) > NAME_LENGTH:
        found["name"] = f"Enter a name of at most {NAME_LENGTH} characters."
    elif CrmConnection.objects.filter(name=name).exclude(pk=crm.pk).exists():
        found["name"] = "Another connection has this name."
    config, kept = _split(connector, settings, secrets, found)
    found |= connector.check(config, kept) if not found else {}
    remote = mapping.as_read(crm.remote_fields) if crm.remote_fields is not None else {}
    problems = mapping.problems(wanted.field_map, remote if connector.has_field_list else None)
    found |= {f"field_map.{name}": text for name, text in problems.items()}
    if found:
        first = next(iter(found))
        raise InvalidConnection(f"{first}: {found[first]}", found)
    if "url" in config and config["url"] != crm.config.get("url"):
        check_url(config["url"])
    crm.name, crm.config = name, config
    if not crm.pk or kept != secrets:
        crm.secret_encrypted = cipher.encrypt(json.dumps(kept))
    crm.field_map = dict(wanted.field_map)
    crm.create_missing = wanted.create_missing and connector.can_create
    crm.log_conversations, crm.approval = wanted.log_conversations, wanted.approval
    crm.site_url = wanted.site_url[:300] or crm.site_url


def _split(
    connector: type[Connector],
    settings: Mapping[str, str],
    secrets: Mapping[str, str],
    found: dict[str, str],
) -> tuple[dict[str, str], dict[str, str]]:
    """Return settings and secrets apart; note in ``found`` those that are missing or unknown."""
    config: dict[str, str] = {}
    kept = dict(secrets)
    names = {one.name for one in connector.settings}
    for name in settings:
        if name not in names:
            found[name[:60]] = f"Unknown setting “{name[:60]}”."
    for one in connector.settings:
        value = str(settings.get(one.name) or "").strip()
        if len(value) > _SETTING_LENGTH or "\0" in value:
            found[one.name] = f"{one.label} is too long (maximum {_SETTING_LENGTH:,} characters)."
        elif one.secret and value:
            kept[one.name] = value
        elif not one.secret and value:
            config[one.name] = value
        if one.required and not (kept.get(one.name) if one.secret else value):
            found.setdefault(one.name, f"{one.label} is required.")
    return config, kept


def run_test(connection: CrmConnection, by: Actor) -> Findings:
    """Read the field list and one value of the CRM; store the list. Raises ConnectionFailed."""
    try:
        account = account_of(connection)
    except cipher.Unreadable as error:
        raise ConnectionFailed(error.message) from error
    mapped = list(connection.field_map.values())
    try:
        findings = async_to_sync(_test)(connection.kind, account, mapped)
    except ConnectorError as error:
        raise ConnectionFailed(error.message) from error
    except Exception as error:  # a vendor may return anything
        logger.exception("The test of a connection failed: %s", connection.kind)
        text = f"The response couldn’t be read ({type(error).__name__})."
        raise ConnectionFailed(text) from error
    if CONNECTORS[connection.kind].has_field_list:
        CrmConnection.objects.filter(pk=connection.pk).update(
            remote_fields=mapping.as_stored(findings.fields), fields_read_at=timezone.now()
        )
    _note(by, "tested", connection)
    return findings


async def _test(kind: str, account: Account, mapped: list[str]) -> Findings:
    client = CrmClient()
    try:
        return await client.connector(kind, account).test(mapped)
    finally:
        await client.aclose()


@transaction.atomic
def disable_connection(*, connection: CrmConnection, by: Actor) -> None:
    """Send nothing more. Changes are stored, and sent when it is enabled again."""
    crm = _locked(connection)
    if crm.is_enabled:
        crm.disabled_at, crm.disabled_cause = timezone.now(), DisabledCause.PERSON
        crm.disabled_reason = f"Disabled by {by.label}."
        crm.save(update_fields=["disabled_at", "disabled_cause", "disabled_reason"])
        _note(by, "disabled", crm)


@transaction.atomic
def enable_connection(*, connection: CrmConnection, by: Actor) -> None:
    """Send again, at once."""
    crm = _locked(connection)
    if not crm.is_enabled:
        CrmConnection.objects.filter(pk=crm.pk).update(
            disabled_at=None, disabled_cause="", disabled_reason="", consecutive_failures=0,
            failing_since=None, rest_until=None, last_error="",
        )  # fmt: skip
        make_due(crm.pushes.filter(state=PushState.PENDING), timezone.now())
        _note(by, "enabled", crm)
    wake_pushes()


@transaction.atomic
def delete_connection(*, connection: CrmConnection, by: Actor) -> None:
    """Delete a connection with its pushes. Nothing changes in the CRM."""
    crm = CrmConnection.objects.select_for_update().filter(pk=connection.pk).first()
    if crm is not None:
        _note(by, "deleted", crm)
        crm.delete()


# The values are written again even where they are equal to those that were sent last.
_FORGET = """
UPDATE crm_remotecontact r SET last_sent = '{}'
FROM crm_push p WHERE p.id = ANY(%(ids)s)
  AND r.connection_id = p.connection_id AND r.contact_id = p.contact_id
"""
_LOCK = "SELECT FROM crm_push WHERE id = ANY(%(ids)s) ORDER BY contact_id, id FOR UPDATE"
# A contact that has a pending push already gets the fields of the other one with it.
_MERGE = """
WITH again AS (
  SELECT DISTINCT ON (p.contact_id) p.* FROM crm_push p WHERE p.id = ANY(%(ids)s)
    AND p.kind = 'fields' ORDER BY p.contact_id, p.id DESC
)
UPDATE crm_push p SET wanted = again.wanted || p.wanted, before = p.before || again.before,
  conversation_ids = ARRAY(
    SELECT DISTINCT u FROM unnest(p.conversation_ids || again.conversation_ids) u ORDER BY u),
  revision = p.revision + 1, changed_at = %(now)s
FROM again WHERE p.kind = 'fields' AND p.state = 'pending' AND p.id <> again.id
  AND p.connection_id = again.connection_id AND p.contact_id = again.contact_id
RETURNING again.id
"""
_REQUEUE = """
UPDATE crm_push p SET state = 'pending', not_before = %(now)s, attempts = 0, sent = '{}',
  first_attempt_at = %(first)s, finished_at = NULL,
  decided_by = CASE WHEN %(by)s <> '' THEN %(by)s ELSE p.decided_by END,
  decided_at = CASE WHEN %(by)s <> '' THEN %(now)s ELSE p.decided_at END
WHERE p.id = ANY(%(ids)s) AND p.state <> 'pending' AND (p.kind <> 'fields' OR p.id IN (
  SELECT DISTINCT ON (q.contact_id) q.id FROM crm_push q WHERE q.id = ANY(%(ids)s)
    AND q.kind = 'fields' ORDER BY q.contact_id, q.id DESC))
"""


def _requeue(crm: CrmConnection, ids: list[int], *, approved_by: str = "") -> int:
    """Make these pushes of a locked connection pending; return how many are."""
    now = timezone.now()
    values: dict[str, Any] = {
        "ids": ids, "now": now, "by": approved_by, "first": None if approved_by else now,
    }  # fmt: skip
    with database.cursor() as cursor:
        cursor.execute(_LOCK, values)
        cursor.execute(_MERGE, values)
        merged = {row[0] for row in cursor.fetchall()}
        ended = {"state": PushState.DROPPED, "finished_at": now}
        words = "Added to the pending push of this contact."
        crm.pushes.filter(pk__in=merged).update(**ended, message=words)
        values["ids"] = [pk for pk in ids if pk not in merged]
        cursor.execute(_REQUEUE, values)
        return int(cursor.rowcount) + len(merged)


@transaction.atomic
def send_again(*, push: Push, by: Actor) -> None:
    """Send a push again with the contact's current values. Raises UnableToSend."""
    crm = _enabled(push.connection)
    if push.state == PushState.WAITING:
        raise UnableToSend("This push waits for approval.")
    if push.state == PushState.PENDING:
        raise UnableToSend("This push is already queued.")
    with database.cursor() as cursor:
        cursor.execute(_FORGET, {"ids": [push.pk]})
    _requeue(crm, [push.pk])
    _note(by, "resent", crm, push=push.public_id)
    wake_pushes()


@transaction.atomic
def send_parked_again(*, connection: CrmConnection, by: Actor) -> int:
    """Send all parked and failed pushes again; return how many. Raises UnableToSend."""
    crm = _enabled(connection)
    ids = list(_parked(crm).values_list("pk", flat=True))
    if not ids:
        raise UnableToSend("No parked pushes.")
    count = _requeue(crm, ids)
    _note(by, "resent", crm, pushes=count)
    wake_pushes()
    return count


def _parked(crm: CrmConnection) -> Any:
    return crm.pushes.filter(state__in=[PushState.PARKED, PushState.FAILED])


@dataclass(frozen=True, slots=True)
class Shown:
    """The waiting pushes that an admin decides on, as they were shown.

    ``revisions`` are those of the pushes on the page, and ``push_ids`` the selected ones of them,
    None for all. With ``until``, it is every push that last changed by then, on any page.
    """

    revisions: Mapping[str, int] = field(default_factory=dict)
    push_ids: Sequence[str] | None = None
    until: datetime | None = None

    def keys(self, crm: CrmConnection) -> list[int]:
        """Lock those that haven't changed since, and return their keys."""
        rows = crm.pushes.filter(state=PushState.WAITING).order_by("contact_id")
        if self.until is not None:
            rows = rows.filter(changed_at__lte=self.until)
            return list(rows.select_for_update().values_list("pk", flat=True))
        chosen = self.revisions if self.push_ids is None else self.push_ids
        wanted = {name: self.revisions[name] for name in chosen if name in self.revisions}
        rows = rows.filter(public_id__in=wanted).select_for_update()
        return [row.pk for row in rows if row.revision == wanted[row.public_id]]


@transaction.atomic
def approve(*, connection: CrmConnection, shown: Shown, by: Actor) -> int:
    """Approve waiting pushes as they were shown; one that changed since waits again.

    Return how many are approved.
    """
    crm = _locked(connection)
    ids = shown.keys(crm)
    count = _requeue(crm, ids, approved_by=by.label) if ids else 0
    _note(by, "approved", crm, pushes=count)
    wake_pushes()
    return count


@transaction.atomic
def reject(*, connection: CrmConnection, shown: Shown, by: Actor) -> int:
    """Drop waiting pushes as they were shown; return how many."""
    crm = _locked(connection)
    now = timezone.now()
    count = crm.pushes.filter(pk__in=shown.keys(crm)).update(
        state=PushState.DROPPED, finished_at=now, decided_at=now, decided_by=by.label,
        message=f"Rejected by {by.label}.",
    )  # fmt: skip
    _note(by, "rejected", crm, pushes=count)
    return count


def _enabled(connection: CrmConnection) -> CrmConnection:
    crm = _locked(connection)
    if not crm.is_enabled:
        raise UnableToSend("This connection is disabled. Enable it, then send again.")
    return crm


def _locked(connection: CrmConnection) -> CrmConnection:
    """Lock and return a connection. Connections are locked before their pushes everywhere."""
    return CrmConnection.objects.select_for_update(no_key=True).get(pk=connection.pk)


def _note(by: Actor, done: str, crm: CrmConnection, **detail: object) -> None:
    detail = {"kind": crm.kind, "name": crm.name, **detail}
    audit.record(by=by, verb=f"crm.{done}", target=crm.public_id, detail=detail)
