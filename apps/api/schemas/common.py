"""Types and schemas that every part of the API uses."""

from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar, get_args

from pydantic import Field

from apps.core.schemas import Body, Schema

TimeIn = datetime | Annotated[float, Field(ge=0)]
"""ISO 8601, without a zone in the installation's; or a number."""

T = TypeVar("T", bound=Schema)


class ErrorBody(Schema):
    """What was rejected and why."""

    code: Annotated[str, Field(pattern=r"^[a-z][a-z_]*$")]
    """For programs: stable, snake_case."""
    message: str
    """One sentence for a person: what was rejected, and what to do."""
    fields: dict[str, str]
    """The same per field of the body or parameter, where it is about one; else empty."""


class Error(Schema):
    """The one form of every error, whatever its status."""

    error: ErrorBody


class NothingIn(Body):
    """An empty object, or no body at all."""

    example = {}


class Page(Schema, Generic[T]):
    """One page of a list."""

    items: list[T]
    next_cursor: str | None
    """Give it as `cursor` to get the next page; null on the last one."""
    total: Annotated[int, Field(ge=0)] = 0
    """How many in all; only with `include_total=true`."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Make the example of a page out of that of its items."""
        (item,) = get_args(cls.model_fields["items"].annotation)
        if "example" not in vars(cls) and isinstance(item, type) and issubclass(item, Schema):
            cls.example = {"items": [item.example], "next_cursor": None}
