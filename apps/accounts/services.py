"""Members: add them, change their roles and passwords."""

from datetime import datetime, timedelta

from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.tokens import default_token_generator
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.urls import reverse
from django.utils.encoding import force_bytes, force_str
from django.utils.http import urlsafe_base64_decode, urlsafe_base64_encode

from apps.accounts import audit, throttle
from apps.accounts.actors import Actor
from apps.accounts.models import IdempotencyKey, Role, User
from apps.core.errors import Conflict, UserError

DEMO_USERNAME = "demo"
IDEMPOTENCY_KEPT = timedelta(hours=24)


class UsernameTaken(UserError):
    """Names are unique, upper and lower case alike."""

    code = "username_taken"


class WeakPassword(UserError):
    """The password does not pass the rules of the settings."""

    code = "weak_password"


class LastAdmin(Conflict):
    """Raised where no one could administer this installation afterward."""

    code = "last_admin"


def user_target(user: User) -> str:
    """Return how the audit log names a person as a target."""
    return f"user_{user.pk}"


def create_user(
    *,
    username: str,
    role: Role,
    by: Actor,
    email: str = "",
    first_name: str = "",
    last_name: str = "",
    password: str | None = None,
) -> User:
    """Add a person. Without a password they need `password_link` (or an admin) to get in.

    Raises UsernameTaken, WeakPassword.
    """
    user = User(
        username=User.normalize_username(username),
        email=email,
        first_name=first_name,
        last_name=last_name,
        role=role,
    )
    _give_password(user, password)
    try:
        with transaction.atomic():
            user.save()
            detail = {"username": user.username, "role": role}
            audit.record(by=by, verb="person.created", target=user_target(user), detail=detail)
    except IntegrityError as error:
        message = f"The username {username} is taken. Choose another."
        raise UsernameTaken(message, {"username": message}) from error
    return user


@transaction.atomic
def change_user(
    *, user: User, by: Actor, role: Role, email: str, first_name: str, last_name: str
) -> None:
    """Change a person's name and role. Raises LastAdmin."""
    if role is not Role.ADMIN:
        keep_an_admin(user)
    new = {"role": role, "email": email, "first_name": first_name, "last_name": last_name}
    changes = {
        name: [str(getattr(user, name)), str(value)]
        for name, value in new.items()
        if getattr(user, name) != value
    }
    lowered = user.is_superuser and role is not Role.ADMIN
    if not changes and not lowered:
        return
    for name, value in new.items():
        setattr(user, name, value)
    user.is_superuser = user.is_superuser and role is Role.ADMIN
    user.save(update_fields=[*new, "is_superuser"])
    audit.record(by=by, verb="person.changed", target=user_target(user), detail=changes)


@transaction.atomic
def set_active(*, user: User, active: bool, by: Actor) -> None:
    """Let a person in, or out: their open sessions end with the next request. Raises LastAdmin."""
    if user.is_active == active:
        return
    if not active:
        keep_an_admin(user)
    user.is_active, user.deactivated_by_sso = active, False
    user.save(update_fields=["is_active", "deactivated_by_sso"])
    verb = "person.activated" if active else "person.deactivated"
    audit.record(by=by, verb=verb, target=user_target(user), detail={"username": user.username})


@transaction.atomic
def set_password(*, user: User, password: str, by: Actor) -> None:
    """Give a person a new password, which ends their other sessions. Raises WeakPassword."""
    _give_password(user, password)
    user.save(update_fields=["password"])
    detail = {"username": user.username}
    audit.record(by=by, verb="person.password_set", target=user_target(user), detail=detail)


def password_link(user: User) -> str:
    """Return a path by which this person sets a password: once, within the settings' time-out."""
    uid = urlsafe_base64_encode(force_bytes(user.pk))
    token = default_token_generator.make_token(user)
    return reverse("accounts:choose_password", args=[uid, token])


def user_of_link(uid: str, token: str) -> User | None:
    """Return whose link this is; None where it is used, out of date or made up."""
    try:
        pk = int(force_str(urlsafe_base64_decode(uid)))
    except (ValueError, UnicodeDecodeError):
        return None
    if not 0 < pk < 2**63:
        return None
    user = User.objects.filter(pk=pk, is_active=True).first()
    if user is None or not default_token_generator.check_token(user, token):
        return None
    return user


def ensure_demo_user(password: str) -> User:
    """Return the login of the demo data, an admin who gets in from this machine only (signin.py).

    Called again, it gives the same person this password.
    """
    user, _ = User.objects.get_or_create(
        username=DEMO_USERNAME,
        defaults={"role": Role.ADMIN, "is_demo": True, "first_name": "Demo"},
    )
    if not user.is_demo:
        raise Conflict(f"There is a person named {DEMO_USERNAME} who is not the demo login.")
    user.set_password(password)
    user.save(update_fields=["password"])
    return user


def purge_expired(*, now: datetime) -> None:
    """Delete temporary rows: responses of idempotent writes, counts of sign-ins."""
    IdempotencyKey.objects.filter(created_at__lte=now - IDEMPOTENCY_KEPT).delete()
    throttle.purge(now=now)


def _give_password(user: User, password: str | None) -> None:
    if password is not None:
        try:
            validate_password(password, user)
        except ValidationError as error:
            message = " ".join(error.messages)
            raise WeakPassword(message, {"password": message}) from error
    user.set_password(password)


def keep_an_admin(user: User) -> None:
    """Reject what would leave no active admin, also when two admins demote each other at once."""
    admins = User.objects.filter(Q(role=Role.ADMIN) | Q(is_superuser=True), is_active=True)
    ids = set(admins.order_by("pk").select_for_update().values_list("pk", flat=True))
    if ids == {user.pk}:
        raise LastAdmin(
            f"{user.username} is the only active admin. Give another member the Admin role first."
        )
