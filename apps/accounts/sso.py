"""Members by single sign-on: who the claims are of, with which role, and whether they may enter."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.contrib.auth import login
from django.db import IntegrityError, transaction
from django.http import HttpRequest

from apps.accounts import audit
from apps.accounts.actors import Actor
from apps.accounts.models import Role, User
from apps.accounts.oidc import ID_TOKEN, SignOnDenied, groups_of

BY = Actor.system("single sign-on")
EVERYONE = "*"
"""In OIDC_ROLES: the role of people in none of the groups."""
_LONGEST = {"email": 254, "first_name": 150, "last_name": 150, "username": 150}


def role_of(groups: set[str]) -> Role | None:
    """Return the highest role that these groups grant; None for no access."""
    roles = [Role(role) for name, role in settings.OIDC_ROLES if name in groups | {EVERYONE}]
    return max(roles, key=lambda role: role.rank, default=None)


def sign_in_with(request: HttpRequest, claims: Mapping[str, Any]) -> User:
    """Open a session for the person of verified claims; add them if they are new.

    Their role follows their groups. A person whose groups no longer grant access is deactivated.
    Raises SignOnFailed.
    """
    id_token = request.session.get(ID_TOKEN)
    user = _admitted(claims)
    open_session(request, user, by="single sign-on", role=user.role)
    request.session[ID_TOKEN] = id_token
    request.session.set_expiry(settings.OIDC_SESSION_HOURS * 3600)
    return user


def open_session(request: HttpRequest, user: User, *, by: str, **detail: object) -> None:
    """Open a session for a person who showed something else than a password, and record it."""
    login(request, user, backend="apps.accounts.signin.Backend")
    audit.record(
        by=Actor.of_user(user),
        verb="person.signed_in",
        target=f"user_{user.pk}",
        detail={"username": user.username, **detail, "by": by},
    )


def _admitted(claims: Mapping[str, Any]) -> User:
    role = role_of(groups_of(claims))
    try:
        user = _person_of(claims, role)
    except IntegrityError:  # a second sign-in of the same person, at the same moment
        user = _person_of(claims, role)
    if user is None or role is None:
        raise SignOnDenied(
            "None of your groups has access to Debrief. Ask an admin to add you to one."
        )
    if not user.is_active:
        raise SignOnDenied(
            "An admin has deactivated your account in Debrief. Ask an admin to activate it."
        )
    return user


@transaction.atomic
def _person_of(claims: Mapping[str, Any], role: Role | None) -> User | None:
    """Find, link, add, or change the person; None for a stranger without a role."""
    subject = f"{settings.OIDC_ISSUER} {claims['sub']}"
    people = User.objects.select_for_update()
    user = people.filter(sso_subject=subject).first() or _by_email(claims)
    if user is None:
        return _added(claims, subject, role) if role else None
    if user.sso_subject != subject:
        user.sso_subject = subject
        user.save(update_fields=["sso_subject"])
        _note(user, "person.linked")
    if role is None:
        _deactivate(user)
    else:
        _change(user, role, claims)
    return user


def _by_email(claims: Mapping[str, Any]) -> User | None:
    """Return the only member without single sign-on whose address the provider has verified."""
    if claims.get("email_verified") is not True or not claims.get("email"):
        return None
    found = User.objects.select_for_update().filter(
        email__iexact=str(claims["email"]), sso_subject=None, is_demo=False
    )[:2]
    return found[0] if len(found) == 1 else None


def _added(claims: Mapping[str, Any], subject: str, role: Role) -> User:
    names = [claims.get(name) for name in ("preferred_username", "email", "sub")]
    wanted = [User.normalize_username(str(name)[:150]) for name in names if name]
    free = [name for name in wanted if not User.objects.filter(username__iexact=name).exists()]
    if not free:
        raise SignOnDenied(
            f"The username {wanted[0]} belongs to another member. Ask an admin to rename them."
        )
    user = User(username=free[0], role=role, sso_subject=subject, **_details(claims))
    user.set_unusable_password()
    user.save()
    _note(user, "person.created", role=role)
    return user


def _details(claims: Mapping[str, Any]) -> dict[str, str]:
    found = {
        "email": claims.get("email"),
        "first_name": claims.get("given_name"),
        "last_name": claims.get("family_name"),
    }
    if not (found["first_name"] or found["last_name"]):
        found["first_name"] = claims.get("name")
    return {name: str(value)[: _LONGEST[name]] for name, value in found.items() if value}


def _change(user: User, role: Role, claims: Mapping[str, Any]) -> None:
    """Follow the groups, also with the last admin: `create_sign_in_link` still opens a session."""
    new: dict[str, Any] = {"role": role, **_details(claims)}
    if user.is_superuser and role is not Role.ADMIN:
        new["is_superuser"] = False
    if not user.is_active and user.deactivated_by_sso:
        new |= {"is_active": True, "deactivated_by_sso": False}
    changes = {k: [str(getattr(user, k)), str(v)] for k, v in new.items() if getattr(user, k) != v}
    if not changes:
        return
    for name in changes:
        setattr(user, name, new[name])
    user.save(update_fields=[*changes])
    _note(user, "person.changed", **changes)


def _deactivate(user: User) -> None:
    if not user.is_active:
        return
    user.is_active, user.deactivated_by_sso = False, True
    user.save(update_fields=["is_active", "deactivated_by_sso"])
    _note(user, "person.deactivated", reason="no group grants access")


def _note(user: User, verb: str, **detail: object) -> None:
    audit.record(
        by=BY, verb=verb, target=f"user_{user.pk}", detail={"username": user.username, **detail}
    )
