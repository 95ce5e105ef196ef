"""Define the errors that a person can act on.

Everything that Debrief rejects on purpose is a `UserError`: pages show its message, the API wraps
it as `{"error": {"code", "message", "fields"}}` with its status, commands print it and exit
with 1. A bug stays an ordinary exception.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Example:
    """An error as a caller may receive it: the API's document shows it."""

    message: str
    fields: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)
    """Other keys of the error."""


class UserError(Exception):
    """An expected error.

    `message` is one message for a person: the rejected value and what to do about it.
    `fields` says the same per field of the form or body, by the field's public name. `more` holds
    other keys of the API's error.
    Apps derive their own classes next to the function that raises them and set `code`
    (snake_case, stable, for programs), `status` (of the HTTP response) and, where the API may
    return it, `example`. A class whose instances carry several codes has `examples` by code.
    An error that always says the same is raised without a message: it has that of its example.
    """

    code: ClassVar[str] = "invalid"
    status: ClassVar[int] = 422
    example: ClassVar[Example | None] = None
    examples: ClassVar[Mapping[str, Example]] = {}

    def __init__(self, message: str = "", fields: Mapping[str, str] | None = None) -> None:
        if not message and self.example:
            message = self.example.message
        super().__init__(message)
        self.message = message
        self.fields: dict[str, str] = dict(fields or {})
        self.more: dict[str, Any] = {}


class BadRequest(UserError):
    """Raised for a request that can't be read: not JSON, an unknown filter, a broken cursor."""

    code = "bad_request"
    status = 400
    example = Example(
        "limit must be a whole number from 1 to 1,000, not “0”.", {"limit": "From 1 to 1,000."}
    )


class NotFound(UserError):
    """Raised for something that doesn't exist, or that this caller must not know of."""

    code = "not_found"
    status = 404
    example = Example("Not found.")


class Conflict(UserError):
    """Raised for a valid request that the current state doesn't allow."""

    code = "conflict"
    status = 409


class Refused(UserError):
    """Raised where the caller's role doesn't allow the request."""

    code = "forbidden"
    status = 403
    example = Example("This requires the Operator role. You have the Viewer role.")
