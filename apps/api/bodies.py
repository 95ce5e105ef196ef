"""Read a request's body into its schema, and write a response from one."""

from collections.abc import Sequence
from typing import Any, TypeVar

from django.http import HttpRequest, HttpResponse

from apps.agents.models import Agent
from apps.core.errors import UserError
from apps.core.json_text import parse_json
from apps.core.schemas import Body, Schema

from .errors import NotJson, UnsupportedMediaType

B = TypeVar("B", bound=Body)


def read(schema: type[B], request: HttpRequest) -> B:
    """Return the body of a request. Raises NotJson, or what the schema rejects it with."""
    return schema.parse(read_object(request))


def read_object(request: HttpRequest) -> dict[str, Any]:
    """Return the JSON object in the body, ``{}`` for an empty one.

    Raises NotJson, also for what Python reads and JSON doesn't allow: NaN, a duplicate key.
    """
    body = request.body
    if not body.strip():
        return {}
    require_type(request, ["application/json"], hint="JSON")
    try:
        value = parse_json(body)
    except ValueError as error:
        raise NotJson(f"Invalid JSON: {str(error).rstrip('.')}.") from None
    if not isinstance(value, dict):
        raise NotJson("The request body must be a JSON object.")
    return value


def require_type(request: HttpRequest, allowed: Sequence[str], *, hint: str) -> None:
    """Raise UnsupportedMediaType for a body that names another type, or is compressed.

    A body without a type is accepted. ``curl -d`` names the type of a form: the message says what
    to send instead.
    """
    given = request.content_type or ""
    is_json = given.endswith("+json") and "application/json" in allowed
    if given and given not in allowed and not is_json:
        raise UnsupportedMediaType(
            f"Send {hint} with “Content-Type: {allowed[0]}”, not {given[:80]}."
        )
    if encoding := request.headers.get("Content-Encoding", ""):
        raise UnsupportedMediaType(
            f"Content-Encoding {encoding[:40]} isn't supported. Send the body uncompressed."
        )


def agent_named(
    agent_id: str | None, *, error: type[UserError], field: str = "agent_id"
) -> Agent | None:
    """Return the agent that a body names, None where it names none. Raises ``error``."""
    public_id = (agent_id or "").replace("\0", "")
    if not public_id:
        return None
    agent = Agent.objects.filter(public_id=public_id).first()
    if agent is None:
        message = f"{field}: no agent with ID “{public_id[:60]}”."
        raise error(message, {field: message})
    return agent


def respond(answer: Schema, status: int = 200) -> HttpResponse:
    """Return a response in JSON."""
    return HttpResponse(answer.as_json(), status=status, content_type="application/json")
