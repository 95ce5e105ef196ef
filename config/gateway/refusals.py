"""Responses to requests that no view sees."""

from config.gateway.limits import in_words


class ClientGone(Exception):
    """Raised when the client has closed its connection: there is no one to respond to."""


class BodyRefused(Exception):
    """Raised when a body is not read to its end; `message` is the one message of the response."""

    #: Whether it would be read if its sender were signed in.
    is_of_stranger = False

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def too_large(limit: int) -> BodyRefused:
    """Return the rejection of a body over the limit of its path."""
    return BodyRefused(
        413, "too_large", f"The request body is larger than {in_words(limit)}. Nothing was changed."
    )


def line_too_long(number: int, limit: int) -> BodyRefused:
    """Return the rejection of a bulk body for one of its lines."""
    return BodyRefused(
        413,
        "too_large",
        f"Line {number:,} is longer than {in_words(limit)}. Nothing was imported.",
    )


def unknown_sender(limit: int) -> BodyRefused:
    """Return the rejection of a large body that no one vouches for."""
    refused = BodyRefused(
        413,
        "too_large",
        f"Only a signed-in sender can send more than {in_words(limit)}. Nothing was changed.",
    )
    refused.is_of_stranger = True
    return refused


def too_slow() -> BodyRefused:
    """Return the rejection of a body that does not arrive."""
    return BodyRefused(
        408,
        "too_slow",
        "The request body did not arrive in time. Nothing was changed. Send it again.",
    )


def no_files() -> BodyRefused:
    """Return the rejection of a multipart form."""
    return BodyRefused(
        415,
        "unsupported_media_type",
        "No page here accepts files. Send the form as application/x-www-form-urlencoded.",
    )


def invalid_length() -> BodyRefused:
    """Return the rejection of a Content-Length that is not a number."""
    return BodyRefused(400, "bad_request", "Content-Length must be a whole number.")


def not_storable(error: OSError) -> BodyRefused:
    """Return the rejection of a body that cannot be buffered, for want of disk space above all."""
    return BodyRefused(
        507,
        "insufficient_storage",
        f"The server can't store the request body: {error.strerror}. Nothing was changed.",
    )


def unavailable() -> BodyRefused:
    """Return the rejection of a large body while its sender can't be verified."""
    return BodyRefused(
        503, "unavailable", "The server can't check the sender. Nothing was changed. Try again."
    )
