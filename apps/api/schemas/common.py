"""Types and schemas that every part of the API uses."""

from datetime import datetime
from typing import Annotated, Generic, TypeVar

from pydantic import ConfigDict, Field

from apps.core.schemas import Body, Schema

TimeIn = datetime | Annotated[float, Field(ge=0)]
"""ISO 8601, without a zone in the installation's; or a number."""

Email = Annotated[str, Field(max_length=254)]

T = TypeVar("T", bound=Schema)


class ErrorBody(Schema):
    """The rejected request and the reason."""

    code: Annotated[str, Field(pattern=r"^[a-z][a-z_]*$")]
    """For programs: stable, snake_case."""
    message: str
    """For people: the problem, and what to do."""
    fields: dict[str, str]
    """The same per field of the body or parameter, where it is about one; else empty."""


class Error(Schema):
    """The one form of every error, whatever its status."""

    error: ErrorBody


class NothingIn(Body):
    """An empty object, or no body at all."""


class Page(Schema, Generic[T]):
    """One page of a list."""

    # Pydantic looks for the source of each `Page[X]` in the whole stack of imports, and there is
    # none: 2 seconds at the start of every process. So the fields here carry their descriptions.
    model_config = ConfigDict(use_attribute_docstrings=False)

    items: list[T]
    next_cursor: Annotated[
        str | None,
        Field(description="Give it as `cursor` to get the next page; null on the last one."),
    ]
    total: Annotated[
        int, Field(ge=0, description="How many in all; only with `include_total=true`.")
    ] = 0
