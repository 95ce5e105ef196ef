"""Check that the sender of a large body is allowed to send one, before the body is read."""

import re
from typing import Any

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.db import close_old_connections
from django.http import parse_cookie

from apps.accounts.keys import authenticate_key
from apps.platforms.models import IntakeSource

_RECEIVER = re.compile(r"/api/intake/(\w+)/([^/\0]+)/?")


def is_known_sender(environ: dict[str, Any]) -> bool:
    """Return whether a key, a session or the address of a source vouches for the request.

    Reads nothing but headers and the path: the body has not arrived.
    """
    close_old_connections()
    try:
        path = environ["PATH_INFO"]
        if receiver := _RECEIVER.fullmatch(path):
            kind, source_id = receiver.groups()
            return IntakeSource.objects.filter(kind=kind, public_id=source_id).exists()
        if path.startswith("/api/"):
            return authenticate_key(environ.get("HTTP_AUTHORIZATION", "")) is not None
        return _has_session(environ.get("HTTP_COOKIE", ""))
    finally:
        close_old_connections()


def _has_session(header: str) -> bool:
    session_key = parse_cookie(header).get(settings.SESSION_COOKIE_NAME, "")
    if not session_key or "\0" in session_key:
        return False
    return SESSION_KEY in SessionStore(session_key)
