"""Add, take, change, and finish follow-ups."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from apps.accounts import audit
from apps.accounts.actors import Actor
from apps.accounts.models import Role, User
from apps.conversations.models import Conversation, ConversationQuerySet
from apps.core.errors import Conflict, Example, UserError

from .events import emit_added
from .models import NOTE_MAX, REASON_MAX, FollowUp, FollowUpQuerySet, Origin

AT_ONCE = 2_000
"""Conversations or follow-ups that one request changes at most: the browser waits."""


class InvalidFollowUp(UserError):
    """Raised for a follow-up that can't be saved. ``fields`` has a message per input."""

    code = "invalid_follow_up"
    example = Example(
        "owner must be the username of an active operator, editor, or admin, not “eve”.",
        {"owner": "owner must be the username of an active operator, editor, or admin."},
    )


class FollowUpExists(Conflict):
    """Raised for a second open follow-up of a conversation."""

    code = "follow_up_exists"
    example = Example("This conversation already has an open follow-up: fu_9oIhGfD7sRaZx5vBnM4kLp.")


class FollowUpChanged(Conflict):
    """Raised where someone else changed the follow-up since the form was opened."""

    code = "follow_up_changed"


class FollowUpTaken(Conflict):
    """Raised where someone else was faster."""

    code = "follow_up_taken"


@dataclass(frozen=True, slots=True)
class Details:
    """The input of a person."""

    reason: str = ""
    owner: User | None = None
    due_at: datetime | None = None
    note: str = ""

    def checked(self) -> "Details":
        """Return the details. Raise InvalidFollowUp for texts that are too long."""
        problems = {
            name: f"{name} must have at most {limit:,} characters."
            for name, text, limit in (
                ("reason", self.reason, REASON_MAX),
                ("note", self.note, NOTE_MAX),
            )
            if len(text) > limit
        }
        if problems:
            raise InvalidFollowUp(" ".join(problems.values()), problems)
        return self


def owners() -> list[User]:
    """Return the members who can own follow-ups, by name."""
    able = [role for role in Role if role.allows(Role.OPERATOR)]
    rows = User.objects.filter(Q(role__in=able) | Q(is_superuser=True), is_active=True)
    return list(rows.order_by("username"))


def owner_named(username: str) -> User:
    """Return the member with this username. Raise InvalidFollowUp if they can't own any."""
    for user in owners():
        if user.username == username:
            return user
    message = (
        "owner must be the username of an active operator, editor, or admin, "
        f"not “{username[:60]}”."
    )
    raise InvalidFollowUp(message, {"owner": message})


@dataclass(frozen=True, slots=True)
class Added:
    """The new follow-ups, and how many conversations had an open one."""

    rows: Sequence[FollowUp]
    skipped: int


@transaction.atomic
def add_many(*, conversations: ConversationQuerySet, details: Details, by: Actor) -> Added:
    """Add a follow-up to each conversation that has no open one.

    Conversations are locked first, as everywhere: two people who add at the same time add one.
    """
    locked = conversations.order_by("pk").select_for_update(no_key=True, of=("self",))
    ids = list(locked.values_list("pk", flat=True)[: AT_ONCE + 1])
    if len(ids) > AT_ONCE:
        raise InvalidFollowUp(f"Select at most {AT_ONCE:,} conversations at a time.")
    taken = set(
        FollowUp.objects.open().filter(conversation__in=ids).values_list("conversation", flat=True)
    )
    rows = _insert([pk for pk in ids if pk not in taken], details.checked(), by)
    return Added(rows, len(taken))


def add(*, conversation: Conversation, details: Details, by: Actor) -> FollowUp:
    """Add a follow-up. Raise FollowUpExists where the conversation has an open one."""
    alone = Conversation.objects.filter(pk=conversation.pk)
    added = add_many(conversations=alone, details=details, by=by)
    if not added.rows:
        existing = FollowUp.objects.open().filter(conversation=conversation).first()
        name = f": {existing.public_id}" if existing else ""
        raise FollowUpExists(f"This conversation already has an open follow-up{name}.")
    return added.rows[0]


def _insert(conversation_ids: Sequence[int], details: Details, by: Actor) -> list[FollowUp]:
    rows = FollowUp.objects.bulk_create(
        FollowUp(
            conversation_id=pk,
            origin=Origin.PERSON,
            reason=details.reason,
            owner=details.owner,
            due_at=details.due_at,
            note=details.note,
            created_by=by.label,
        )
        for pk in conversation_ids
    )
    emit_added([row.pk for row in rows])
    _audit(by, "follow_up.added", rows)
    return rows


def change(
    *, follow_up: FollowUp, changes: Mapping[str, Any], by: Actor, version: int | None = None
) -> FollowUp:
    """Change reason, owner, due time, or note.

    With ``version``, raise FollowUpChanged if someone else has saved another one since.
    """
    with transaction.atomic():
        row = FollowUp.objects.select_for_update(of=("self",)).get(pk=follow_up.pk)
        if version is not None and version != row.version:
            raise FollowUpChanged(
                "Someone else changed this follow-up while you were editing. The fields show "
                "your entries. Save again to replace the other changes."
            )
        differing = [name for name, value in changes.items() if getattr(row, name) != value]
        if differing:
            for name in differing:
                setattr(row, name, changes[name])
            Details(reason=row.reason, note=row.note).checked()
            row.version += 1
            row.save(update_fields=[*differing, "version"])
            _audit(by, "follow_up.changed", [row], {"fields": sorted(differing)})
    return row


def take(*, follow_up: FollowUp, user: User, by: Actor) -> None:
    """Make a user the owner of an open follow-up without one.

    Raise FollowUpTaken if someone else was faster, or it's done.
    """
    free = FollowUp.objects.open().filter(pk=follow_up.pk, owner=None)
    with transaction.atomic():
        if free.update(owner=user, version=F("version") + 1):
            _audit(by, "follow_up.changed", [follow_up], {"fields": ["owner"]})
            return
    row = FollowUp.objects.select_related("owner").get(pk=follow_up.pk)
    if not row.is_open:
        raise FollowUpTaken(f"{row.done_by} already finished this follow-up.")
    if row.owner is not None and row.owner != user:
        raise FollowUpTaken(f"{row.owner.label} already took this follow-up.")


@transaction.atomic
def assign(*, rows: FollowUpQuerySet, changes: Mapping[str, Any], by: Actor) -> int:
    """Set the owner or due time of open follow-ups. Return how many there are."""
    locked = _locked(rows.open())
    FollowUp.objects.filter(pk__in=[row.pk for row in locked]).update(
        **changes, version=F("version") + 1
    )
    _audit(by, "follow_up.changed", locked, {"fields": sorted(changes)})
    return len(locked)


@transaction.atomic
def finish(*, rows: FollowUpQuerySet, by: Actor) -> int:
    """Mark open follow-ups as done. Return how many were open."""
    locked = _locked(rows.open())
    FollowUp.objects.filter(pk__in=[row.pk for row in locked]).update(
        done_at=timezone.now(), done_by=by.label, version=F("version") + 1
    )
    _audit(by, "follow_up.done", locked)
    return len(locked)


@transaction.atomic
def reopen(*, rows: FollowUpQuerySet, by: Actor) -> int:
    """Reopen done follow-ups, the newest of each conversation. Return how many.

    Where the conversation has another open one, nothing changes.
    """
    ids = list(rows.done().order_by().values_list("conversation", flat=True).distinct())
    conversations = Conversation.objects.filter(pk__in=ids).order_by("pk")
    list(conversations.select_for_update(no_key=True).values_list("pk"))
    busy = FollowUp.objects.open().filter(conversation__in=ids).values("conversation")
    locked = _locked(rows.done().exclude(conversation__in=busy))
    newest = list({row.conversation_id: row for row in locked}.values())
    FollowUp.objects.filter(pk__in=[row.pk for row in newest]).update(
        done_at=None, done_by="", version=F("version") + 1
    )
    _audit(by, "follow_up.reopened", newest)
    return len(newest)


def _locked(rows: FollowUpQuerySet) -> list[FollowUp]:
    """Lock the rows, oldest first, as everyone does. Raise InvalidFollowUp for too many."""
    locked = list(
        rows.order_by("pk")
        .select_for_update(of=("self",))
        .only("public_id", "conversation")[: AT_ONCE + 1]
    )
    if len(locked) > AT_ONCE:
        raise InvalidFollowUp(f"Select at most {AT_ONCE:,} follow-ups at a time.")
    return locked


def _audit(
    by: Actor, verb: str, rows: Sequence[FollowUp], detail: Mapping[str, Any] | None = None
) -> None:
    """Write one entry per follow-up: who did what, without any text of it."""
    targets = [row.public_id for row in rows]
    audit.record_each(by=by, verb=verb, targets=targets, detail=detail)
