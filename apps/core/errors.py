"""Refusals that a person can act on.

Everything that Debrief refuses on purpose is a `UserError`: pages show its sentence, the API
wraps it as `{"error": {"code", "message", "fields"}}` with its status, commands print it and
exit with 1. A bug stays an ordinary exception.
"""

from collections.abc import Mapping
from typing import ClassVar


class UserError(Exception):
    """An expected refusal.

    `message` is one sentence for a person: the value that was refused and the way out.
    `fields` says the same per field of the form or body, by the field's public name.
    Rooms derive their own classes beside the function that raises them and set `code`
    (snake_case, stable, for programs) and `status` (of the HTTP answer).
    """

    code: ClassVar[str] = "invalid"
    status: ClassVar[int] = 422

    def __init__(self, message: str, fields: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.fields: dict[str, str] = dict(fields or {})


class BadRequest(UserError):
    """What was sent cannot even be read: not JSON, an unknown filter, a broken cursor."""

    code = "bad_request"
    status = 400


class NotFound(UserError):
    """There is no such thing, or none that this caller may know of."""

    code = "not_found"
    status = 404


class Conflict(UserError):
    """Right in itself, but not in the state that things are in now."""

    code = "conflict"
    status = 409


class Refused(UserError):
    """The caller's role does not reach this far."""

    code = "forbidden"
    status = 403
