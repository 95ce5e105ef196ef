"""Collect every error code that the API may return, from the classes of the errors.

The OpenAPI document shows for each operation those that it may return, and the tests compare the
responses with it. A new code is declared on its class and named at its operation.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from apps.core.errors import Example, UserError


@dataclass(frozen=True, slots=True)
class Refusal:
    """One code: the status that it comes with, and an example."""

    status: int
    example: Example

    def body(self, code: str) -> dict[str, Any]:
        """Return the body of a response with this code."""
        error = {"code": code, "message": self.example.message, "fields": dict(self.example.fields)}
        return {"error": {**error, **self.example.more}}


@cache
def refusals() -> dict[str, Refusal]:
    """Return the codes of all error classes that have an example."""
    return dict(_declared(UserError))


def _declared(error: type[UserError]) -> Iterator[tuple[str, Refusal]]:
    own: Example | None = vars(error).get("example")
    if own is not None:
        yield error.code, Refusal(error.status, own)
    for code, example in vars(error).get("examples", {}).items():
        yield code, Refusal(error.status, example)
    for derived in error.__subclasses__():
        yield from _declared(derived)
