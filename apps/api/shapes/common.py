"""Shapes that every part of the API uses."""

from datetime import datetime
from typing import Annotated, Any

from ninja import Schema
from pydantic import BaseModel, ConfigDict, Field, create_model

Time = Annotated[datetime, Field(description="ISO 8601 with a zone.")]
TimeIn = datetime | Annotated[float, Field(ge=0)]
"""ISO 8601, without a zone in the installation's; or a number."""
Money = Annotated[
    str, Field(description="US dollars as text, to be exact.", pattern=r"^-?\d+(\.\d+)?$")
]
JsonObject = dict[str, Any]


class Shape(Schema):
    """Base of all shapes: descriptions come from the fields, not from code comments."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Closed(Shape):
    """A body in which an unknown key is refused: a typing error must not pass."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="forbid")


class ErrorBody(Shape):
    """What was refused and why."""

    code: Annotated[str, Field(pattern=r"^[a-z][a-z_]*$")]
    """For programs: stable, snake_case."""
    message: str
    """One sentence for a person: what was refused, and the way out."""
    fields: dict[str, str]
    """The same per field of the body or parameter, where it is about one; else empty."""


class Error(Shape):
    """The one shape of every refusal, whatever its status."""

    error: ErrorBody


class Page(Shape):
    """One page of a list."""

    next_cursor: str | None
    """Give it as `cursor` to get the next page; null on the last one."""


def page_of(item: type[Shape], name: str, **more: Any) -> type[BaseModel]:
    """A page of these, under a name of its own; ``total`` comes where it was asked for."""
    total = Field(default=0, ge=0, description="How many in all; only with `include_total=true`.")
    page: type[BaseModel] = create_model(
        name,
        __base__=Page,
        __doc__="One page of a list.",
        items=(list[item], ...),  # type: ignore[valid-type]
        total=(int, total),
        **more,
    )
    return page
