"""Agents and drafts, created through the services, and the people who edit them."""

from typing import Any

from apps.accounts.actors import Actor
from apps.accounts.models import Role
from apps.agents import services
from apps.agents.models import Agent, AgentVersion
from apps.llm.models import LanguageModel

ADA = Actor("Ada", Role.EDITOR)
BEN = Actor("Ben", Role.EDITOR)

TOPIC = {"type": "string", "enum": ["billing", "sales"], "description": "What it was about."}


def language_model(name: str = "test-model", **values: Any) -> LanguageModel:
    """A model with a price."""
    defaults = {"input_price": "0.40", "output_price": "1.60", **values}
    return LanguageModel.objects.get_or_create(name=name, defaults=defaults)[0]


def agent(name: str = "Billing line", channel: str = "voice", **changes: Any) -> Agent:
    """An agent with its draft V0; ``changes`` are parts of the draft to save into it."""
    made = services.create_agent(name=name, channel=channel, by=ADA, model=language_model())
    if changes:
        services.save_draft(agent=made, changes=changes, by=ADA)
    return made


def with_fields(**fields: Any) -> dict[str, Any]:
    """Changes that give a draft these fields of its own."""
    required = [name for name, value in fields.items() if value.pop("required", False)]
    schema = {"type": "object", "properties": fields, "required": required}
    return {"analysis": {"schema": schema}}


def draft(made: Agent) -> AgentVersion:
    """The draft as the database has it now."""
    return services.draft_of(Agent.objects.get(pk=made.pk))
