"""Trials for tests, made by the services that pages use."""

from apps.accounts.actors import Actor
from apps.agents.models import Agent
from apps.conversations.filters import parse
from apps.runs.models import Run
from apps.runs.test_runs import services as trial_services
from apps.runs.test_runs.services import Choice, Order, choose

ADA = Actor.system("Ada")


def chosen(agent: Agent, /, *, count: int = 5, with_agent: bool = True, **params: str) -> Choice:
    """What a trial of this agent would take; without the agent, as from a backfill."""
    params = params or {"agent": agent.public_id}
    spec = parse(agent.channel, params)
    return choose(spec, agent=agent if with_agent else None, count=count, order=Order.NEWEST)


def start_trial(agent: Agent, /, *, count: int = 5, with_agent: bool = True, **params: str) -> Run:
    """A trial that was agreed to and waits for a runner."""
    choice = chosen(agent, count=count, with_agent=with_agent, **params)
    return trial_services.start(
        channel=agent.channel,
        agent=agent if with_agent else None,
        token=trial_services.token_for(choice, asked="q"),
        asked="q",
        by=ADA,
    )
