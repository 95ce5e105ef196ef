"""Signing in: who may, how often they may try, and from where."""

from datetime import datetime
from ipaddress import ip_address
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import authenticate, login
from django.contrib.auth.backends import ModelBackend
from django.http import HttpRequest
from django.http.request import split_domain_port

from apps.accounts import throttle
from apps.accounts.devices import known_device
from apps.accounts.models import User
from apps.core.client_address import client_address
from apps.core.errors import UserError

PROXY_HEADERS = ("X-Forwarded-For", "X-Forwarded-Host", "Forwarded", "X-Real-Ip", "Via")


class SignInRefused(UserError):
    """Name and password do not open anything, or not from here."""

    code = "sign_in_refused"
    status = 401


class Backend(ModelBackend):
    """Names and passwords, upper and lower case alike in names; the demo login only at home."""

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: object,
    ) -> User | None:
        if settings.OIDC_ONLY:
            return None
        known = User.objects.filter(username__iexact=username or "").values_list(
            "username", flat=True
        )
        user = super().authenticate(request, known.first() or username, password)
        if not isinstance(user, User):
            return None
        if user.is_demo and not (request is not None and admits_demo(request)):
            return None
        return user


def admits_demo(request: HttpRequest) -> bool:
    """Return whether the demo login works for this request: from this machine, by no proxy.

    A proxy's headers give it away. A proxy that sends none and calls this server 127.0.0.1 still
    passes on the browser's own address of the page, and uses HTTP/1.0 by default.
    """
    if not settings.DEMO_LOGIN or any(name in request.headers for name in PROXY_HEADERS):
        return False
    if request.META.get("SERVER_PROTOCOL") == "HTTP/1.0":
        return False
    pages = [request.headers[name] for name in ("Origin", "Referer") if name in request.headers]
    named = [split_domain_port(request.get_host())[0], *map(_host_of, pages)]
    return _is_loopback(request.META.get("REMOTE_ADDR", "")) and all(map(_is_loopback, named))


def _host_of(page: str) -> str:
    """Return the host in an address; empty without one, or for an invalid address."""
    try:
        return urlsplit(page).hostname or ""
    except ValueError:
        return ""


def _is_loopback(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def sign_in(*, request: HttpRequest, username: str, password: str, now: datetime) -> User:
    """Open a session for this person.

    Raises TooManyAttempts with the time to wait, else SignInRefused with a message that does
    not reveal whether the person exists.
    """
    address, device = client_address(request), known_device(request, username)
    if device is not None:
        throttle.count_known_device(device=device, now=now)
    else:
        throttle.count_attempt(username=username, address=address, now=now)
    user = authenticate(request, username=username, password=password)
    if user is None:
        raise SignInRefused(_reason(request, username))
    if device is not None:
        throttle.forgive_device(device=device)
    else:
        throttle.forgive(username=username, address=address)
    login(request, user)
    return user


def _reason(request: HttpRequest, username: str) -> str:
    if settings.OIDC_ONLY:
        return "Passwords are switched off here. Use single sign-on."
    if not admits_demo(request) and User.objects.filter(username__iexact=username, is_demo=True):
        return (
            "The demo login works only on the machine running Debrief. To sign in from here, "
            "create a login there: python manage.py createsuperuser."
        )
    return "Wrong username or password. Passwords are case-sensitive."
