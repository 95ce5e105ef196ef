"""What the doors of other platforms answer."""

from typing import Literal

from .common import Shape


class Payload(Shape):
    """A webhook as the platform sends it; each has a shape of its own."""


class Received(Shape):
    """What became of a platform's payload."""

    state: Literal["taken"]
    conversation_id: str | None
    """The conversation that it is in; null where there was nothing to store."""
    note: str
