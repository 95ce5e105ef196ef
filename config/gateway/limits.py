"""How large the body of a request may be, by its path.

As much as a form, an API route, or a platform needs. A sender without a session, an API key, or the
address of a source sends `STRANGER_BYTES` at most, whatever the path.
"""

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB

STRANGER_BYTES = 64 * KIB
LINE_BYTES = 64 * MIB
"""One line of a bulk body is one conversation, and may be as large as one that is sent alone."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What a path accepts. `streamed` paths take long, whatever the size of their body."""

    size: int
    line: int | None = None
    streamed: bool = False
    multipart: bool = False


_NOTHING = Limit(64 * KIB)
_SIGN_IN = Limit(16 * KIB)
_FORM = Limit(1 * MIB)
_LARGE_FORM = Limit(8 * MIB)  # a schema of 1,000,000 characters, each of them escaped
_CHANGE = Limit(8 * MIB, multipart=True)
_IMPORT = Limit(32 * MIB, multipart=True)  # 200,000 contacts with some fields
_CONVERSATION = Limit(64 * MIB, multipart=True)
_PLATFORM = Limit(64 * MIB, multipart=True)
_BULK = Limit(2048 * MIB, line=LINE_BYTES, streamed=True, multipart=True)
_EXPORT = Limit(64 * KIB, streamed=True)

#: The first prefix that matches decides. Pages without an upload refuse multipart; the API answers
#: it itself, with a 415 in JSON.
_BY_PREFIX: tuple[tuple[str, Limit], ...] = (
    ("/api/conversations/bulk", _BULK),
    ("/api/conversations", _CONVERSATION),
    ("/api/intake/", _PLATFORM),
    ("/api/", _CHANGE),
    ("/login/", _SIGN_IN),
    ("/logout/", _SIGN_IN),
    ("/password/", _SIGN_IN),
    ("/profile/", _SIGN_IN),
    ("/contacts/import/", _IMPORT),
    ("/agents/", _LARGE_FORM),
    ("/trials/", _LARGE_FORM),
    ("/admin/", _LARGE_FORM),
    ("/conversations-export/", _EXPORT),
    ("/costs/export/", _EXPORT),
)


def limit_of(method: str, path: str) -> Limit:
    """Return what a request of this method to this path may carry."""
    limit = next((limit for prefix, limit in _BY_PREFIX if path.startswith(prefix)), _FORM)
    if method in {"GET", "HEAD"} and not limit.streamed:
        return _NOTHING
    return limit


def in_words(size: int) -> str:
    """Return a size as the messages say it."""
    return f"{size // MIB:,} MiB" if size >= MIB else f"{size // KIB} KiB"
