"""Browsers that a person has signed in with before.

A limit on sign-ins by name or address would let strangers lock a person out. Attempts from a
browser that this person has signed in with are counted for that browser alone.
"""

from datetime import timedelta

from django.conf import settings
from django.core.signing import BadSignature, TimestampSigner
from django.http import HttpRequest, HttpResponse
from django.shortcuts import resolve_url

from apps.accounts.models import User
from apps.core.ids import random_base62

COOKIE = "device"
REMEMBERED = timedelta(days=180)


def known_device(request: HttpRequest, username: str) -> str | None:
    """Return a name of the browser if this person has signed in with it, else None."""
    try:
        value = _signer().unsign(request.COOKIES.get(COOKIE, ""), max_age=REMEMBERED)
    except BadSignature:
        return None
    pk, _, device = value.partition(".")
    person = User.objects.filter(username__iexact=username).values_list("pk", flat=True).first()
    return device if person is not None and pk == str(person) else None


def remember_device(response: HttpResponse, user: User) -> None:
    """Let the browser prove the next time that this person has signed in with it."""
    response.set_cookie(
        COOKIE,
        _signer().sign(f"{user.pk}.{random_base62(16)}"),
        max_age=REMEMBERED,
        path=resolve_url(settings.LOGIN_URL),
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def _signer() -> TimestampSigner:
    return TimestampSigner(salt="accounts.device")
