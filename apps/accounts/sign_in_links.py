"""Links that open a session once, for an admin with a shell while other ways in are closed."""

from django.core import signing
from django.urls import reverse

from apps.accounts.models import User

SECONDS = 15 * 60
_SALT = "apps.accounts.sign_in_links"


def link_for(user: User) -> str:
    """Return a path that signs this person in, once, within 15 minutes."""
    token = signing.dumps([user.pk, _mark(user)], salt=_SALT)
    return reverse("accounts:sign_in_link", args=[token])


def user_of(token: str) -> User | None:
    """Return whose link this is; None where it is used, too old, or made up."""
    try:
        pk, mark = signing.loads(token, salt=_SALT, max_age=SECONDS)
    except (signing.BadSignature, ValueError, TypeError):
        return None
    user = User.objects.filter(pk=pk, is_active=True).first()
    return user if user is not None and _mark(user) == mark else None


def _mark(user: User) -> list[str]:
    """Return a mark that changes with each sign-in, each password, and each deactivation."""
    last = user.last_login.isoformat() if user.last_login else ""
    return [last, user.get_session_auth_hash()[:16]]
