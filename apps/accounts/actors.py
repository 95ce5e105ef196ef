"""Who does something: every service that writes takes one of these as `by`."""

from dataclasses import dataclass
from typing import Self

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from apps.accounts.models import ApiKey, AuditEntry, Role, User

LABEL_MAX = 200
"""Length of the columns that keep a label."""


@dataclass(frozen=True, slots=True)
class Actor:
    """A person, an API key, a command or the system itself, as services see them.

    `label` is what "by" columns keep; it stays readable when the person is gone.
    `user_id` is set for people only. `via` is the channel (a value of `AuditEntry.Via`).
    """

    label: str
    role: Role
    user_id: int | None = None
    via: AuditEntry.Via = AuditEntry.Via.WEB

    @classmethod
    def of_user(cls, user: User) -> Self:
        """Return a person who signed in."""
        return cls(user.label[:LABEL_MAX], user.effective_role, user.pk)

    @classmethod
    def of_key(cls, key: ApiKey) -> Self:
        """Return a caller of the REST API."""
        return cls(key.label[:LABEL_MAX], Role(key.role), None, AuditEntry.Via.API)

    @classmethod
    def command(cls, name: str) -> Self:
        """Someone with a shell on the machine; they may do everything."""
        return cls(f"command {name}"[:LABEL_MAX], Role.ADMIN, None, AuditEntry.Via.COMMAND)

    @classmethod
    def system(cls, name: str) -> Self:
        """Return what Debrief does automatically, such as the sweep or a runner."""
        return cls(f"system: {name}"[:LABEL_MAX], Role.ADMIN, None, AuditEntry.Via.SYSTEM)


def actor_of(request: HttpRequest) -> Actor:
    """Who makes this request: the API key that `KeyAuth` accepted, else who signed in.

    Raises PermissionDenied for a stranger; the login middleware sends those away before.
    """
    actor = getattr(request, "actor", None)
    if isinstance(actor, Actor):
        return actor
    user = request.user
    if isinstance(user, AnonymousUser) or not user.is_active:
        raise PermissionDenied("Sign in to continue.")
    return Actor.of_user(user)
