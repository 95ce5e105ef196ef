"""Read a request's body into its schema, and write a response from one."""

from typing import TypeVar

from django.http import HttpRequest, HttpResponse

from apps.core.schemas import Body, Schema

from .errors import read_object

B = TypeVar("B", bound=Body)


def read(schema: type[B], request: HttpRequest) -> B:
    """Return the body of a request. Raises NotJson, or what the schema rejects it with."""
    return schema.parse(read_object(request))


def respond(answer: Schema, status: int = 200) -> HttpResponse:
    """Return a response in JSON."""
    return HttpResponse(answer.as_json(), status=status, content_type="application/json")
