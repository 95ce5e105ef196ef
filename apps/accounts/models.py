"""Who may do what, and who did what."""

from typing import Any, NoReturn, Self

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models import F, Func, Q
from django.db.models.functions import Lower, Now
from django.utils import timezone
from django.utils.crypto import salted_hmac

from apps.core.ids import public_id, random_base62


def key_id() -> str:
    """Return a fresh public id of an API key."""
    return public_id("key")


class Role(models.TextChoices):
    """The four roles, each with everything that the ones before it may do."""

    VIEWER = "viewer", "Viewer"
    OPERATOR = "operator", "Operator"
    EDITOR = "editor", "Editor"
    ADMIN = "admin", "Admin"

    @property
    def rank(self) -> int:
        """Place in the order, 0 for the role that may do least."""
        return list(Role).index(self)

    def allows(self, needed: "Role") -> bool:
        """Return whether a holder of this role may do what asks for `needed`."""
        return self.rank >= needed.rank


class User(AbstractUser):
    """A person who signs in. Never deleted, only deactivated: the audit log names them."""

    role = models.CharField(max_length=10, choices=Role.choices, default=Role.VIEWER)
    is_demo = models.BooleanField(
        default=False,
        editable=False,
        help_text="The login of the demo data: it works on this machine only.",
    )

    session_salt = models.CharField(
        max_length=16,
        default="",
        blank=True,
        editable=False,
        help_text="Changes with each deactivation: no session from before is ever valid again.",
    )

    sso_subject = models.CharField(
        max_length=600,
        null=True,
        blank=True,
        unique=True,
        editable=False,
        help_text="Issuer and subject, for members who sign in by single sign-on.",
    )
    deactivated_by_sso = models.BooleanField(
        default=False,
        editable=False,
        help_text="Groups no longer granted access. Groups that do activate the member again.",
    )

    class Meta:
        constraints = [
            models.CheckConstraint(name="user_role_known", condition=Q(role__in=Role.values)),
            models.UniqueConstraint(
                Lower("username"),
                name="user_username_unique_any_case",
                violation_error_message="This username is taken.",
            ),
        ]

    @property
    def effective_role(self) -> Role:
        """Return the role that counts: a superuser (`createsuperuser`) is an admin."""
        return Role.ADMIN if self.is_superuser else Role(self.role)

    @property
    def label(self) -> str:
        """Return how pages and the audit log name this person."""
        return self.get_full_name() or self.username

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        """Return what a session is bound to: the password, and no deactivation since then."""
        return salted_hmac(
            "django.contrib.auth.models.AbstractBaseUser.get_session_auth_hash",
            self.password + self.session_salt,
            secret=secret,
            algorithm="sha256",
        ).hexdigest()

    def has_perm(self, perm: str, obj: object = None) -> bool:
        """Django's permissions follow the role: admins have all of them, no one else any."""
        return self.is_active and self.effective_role is Role.ADMIN

    def has_module_perms(self, app_label: str) -> bool:
        """As `has_perm`."""
        return self.has_perm(app_label)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Keeps Django's `is_staff` in step with the role, for packages that look at it."""
        self.is_staff = self.effective_role is Role.ADMIN
        fields = kwargs.get("update_fields")
        if fields is not None and {"role", "is_superuser"} & set(fields):
            fields = {*fields, "is_staff"}
        if not self.is_active:
            self.session_salt = random_base62(16)
            fields = {*fields, "session_salt"} if fields is not None else None
        kwargs["update_fields"] = fields
        super().save(*args, **kwargs)


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def in_page_order(self) -> Self:
        """Keys that work first, newest first."""
        return self.order_by(F("revoked_at").desc(nulls_first=True), "-created_at", "-pk")


class ApiKey(models.Model):
    """A key of the REST API. Its secret is shown once; here is only its hash.

    SHA-256 without salt or stretching is right for it, other than for a password: the secret
    is 43 random characters, so there is nothing to guess, and each request has to check it.
    """

    public_id = models.CharField(max_length=40, unique=True, default=key_id, editable=False)
    name = models.CharField(max_length=100)
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.VIEWER)
    prefix = models.CharField(
        max_length=20, unique=True, editable=False, help_text="The beginning of the key."
    )
    sha256 = models.CharField(max_length=64, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    created_by = models.CharField(max_length=200, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_by = models.CharField(max_length=200, blank=True, editable=False)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = "API key"
        ordering = ["-created_at", "-pk"]
        constraints = [
            models.CheckConstraint(name="apikey_role_known", condition=Q(role__in=Role.values)),
            models.CheckConstraint(
                name="apikey_sha256_is_a_hash",
                condition=Q(sha256__regex=r"^[0-9a-f]{64}$"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @property
    def is_active(self) -> bool:
        """Return whether it still opens the API."""
        return self.revoked_at is None

    @property
    def label(self) -> str:
        """Return the name of this key in the audit log and "by" columns."""
        return f"API key {self.name} ({self.prefix})"


class AppendOnlyError(TypeError):
    """Raised for any attempt to change or delete append-only rows."""


class AuditQuerySet(models.QuerySet["AuditEntry"]):
    """Rejects changes to rows; a trigger of the database rejects them again."""

    def matching(self, *, verb: str = "", who: str = "", target: str = "", via: str = "") -> Self:
        """Entries of this verb (`agent` alone: of every agent.… verb), by and about these."""
        rows = self
        if verb:
            rows = rows.filter(Q(verb=verb) | Q(verb__startswith=f"{verb.rstrip('.')}."))
        if who:
            rows = rows.filter(who__icontains=who)
        if target:
            rows = rows.filter(target=target)
        return rows.filter(via=via) if via else rows

    def update(self, **kwargs: Any) -> NoReturn:
        raise AppendOnlyError("Audit entries cannot be changed.")

    def delete(self) -> NoReturn:
        raise AppendOnlyError("Audit entries cannot be deleted.")


class AuditEntry(models.Model):
    """One thing that someone did. Added, never changed, never deleted."""

    class Via(models.TextChoices):
        """The channel that they came through."""

        WEB = "web", "Web"
        API = "api", "API"
        COMMAND = "command", "Command"
        SYSTEM = "system", "System"

    at = models.DateTimeField(default=timezone.now)
    who = models.CharField(max_length=200)
    user = models.ForeignKey(
        User, null=True, blank=True, on_delete=models.PROTECT, related_name="audit_entries"
    )
    via = models.CharField(max_length=10, choices=Via.choices)
    verb = models.CharField(max_length=60, help_text="Name of the action, such as agent.published.")
    target = models.CharField(
        max_length=100, blank=True, help_text="Public ID of the object that was changed."
    )
    detail = models.JSONField(default=dict, blank=True)

    objects = AuditQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "audit entries"
        ordering = ["-at", "-pk"]
        indexes = [
            models.Index(fields=["at", "id"], name="audit_newest"),
            models.Index(fields=["verb", "at", "id"], name="audit_by_verb"),
            models.Index(fields=["target", "at", "id"], name="audit_by_target"),
        ]
        constraints = [
            models.CheckConstraint(
                name="audit_via_known",
                condition=Q(via__in=["web", "api", "command", "system"]),
            ),
            models.CheckConstraint(
                name="audit_says_who_and_what", condition=~Q(who="") & ~Q(verb="")
            ),
        ]

    def __str__(self) -> str:
        return f"{self.who}: {self.verb} {self.target}".rstrip()

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Adds the entry; rejects changes to an existing one."""
        if not self._state.adding:
            raise AppendOnlyError("Audit entries cannot be changed.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Reject."""
        raise AppendOnlyError("Audit entries cannot be deleted.")


NAMED = "substring(%(expressions)s from 'conv_[0-9A-Za-z]+')"
"""The conversation that a response of the API names first, as SQL."""


class IdempotencyKey(models.Model):
    """The response that an API write gave, so that the same `Idempotency-Key` gets it again.

    Stored for 24 hours per caller, key, and path. `status` is empty while the first request is
    still running.
    """

    actor = models.CharField(max_length=200)
    path = models.CharField(max_length=300)
    key = models.CharField(max_length=200)
    request_sha256 = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(null=True, blank=True)
    body = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["actor", "path", "key"], name="idempotencykey_once"),
        ]
        indexes = [
            models.Index(fields=["created_at"], name="idempotencykey_age"),
            models.Index(Func(F("body"), template=NAMED), name="idempotencykey_named"),
        ]

    def __str__(self) -> str:
        return f"{self.key} on {self.path}"


class LoginThrottle(models.Model):
    """How many sign-ins failed for one name or address within one window of time."""

    key = models.CharField(max_length=64, primary_key=True, help_text="Hash of the counted caller.")
    failures = models.PositiveIntegerField()
    ends_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.failures} until {self.ends_at:%H:%M}"
