"""Read a request's body into its schema, and write a response from one."""

from typing import TypeVar

from django.http import HttpRequest, HttpResponse

from apps.agents.models import Agent
from apps.core.errors import UserError
from apps.core.schemas import Body, Schema

from .errors import read_object

B = TypeVar("B", bound=Body)


def read(schema: type[B], request: HttpRequest) -> B:
    """Return the body of a request. Raises NotJson, or what the schema rejects it with."""
    return schema.parse(read_object(request))


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
