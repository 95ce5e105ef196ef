"""Agents, their drafts and versions."""

from django.db.models import OuterRef, Prefetch, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from ninja import Router

from apps.accounts.actors import actor_of
from apps.accounts.models import Role
from apps.agents.draft_start import template_source
from apps.agents.models import Agent, AgentVersion, AgentVersionQuerySet
from apps.agents.schemas import DraftIn
from apps.agents.services import create_agent, publish, save_draft
from apps.agents.templates import BY_KEY, TEMPLATES

from . import lists
from .endpoints import read, read_object, respond, write
from .openapi import Answer, operation
from .parameters import PAGE
from .schemas import agents as schemas

router = Router(tags=["Agents"])


@router.post(
    "",
    **operation(
        "createAgent",
        "Create an agent",
        takes=schemas.AgentIn,
        answers={201: Answer(schemas.AgentSchema, "The new agent.")},
        refuses=["invalid_draft"],
    ),
)
@write(Role.EDITOR)
def create(request: HttpRequest) -> HttpResponse:
    """Creates an agent with a draft (V0) from the default prompts or a template."""
    body = read(schemas.AgentIn, request)
    agent = create_agent(
        name=body.name,
        channel=body.channel,
        by=actor_of(request),
        start=template_source(BY_KEY[body.template]) if body.template else None,
    )
    return _shown(agent.public_id, status=201)


@router.get(
    "",
    **operation(
        "listAgents",
        "List agents",
        query=PAGE,
        answers={200: Answer(schemas.Agents, "One page of agents.")},
        refuses=lists.CODES,
    ),
)
def many(request: HttpRequest) -> HttpResponse:
    """By name; each with its draft."""
    lists.only(request)
    return lists.answer(
        request,
        _agents(),
        order=["name"],
        page=schemas.Agents,
        show=schemas.AgentSchema.from_agent,
    )


@router.get(
    "/templates",
    **operation(
        "listTemplates",
        "List field templates",
        answers={200: Answer(schemas.Templates, "All templates; there are no pages.")},
    ),
)
def templates(request: HttpRequest) -> HttpResponse:
    """Fields and an analysis prompt to begin with, as `POST /api/agents` takes them."""
    items = [schemas.TemplateSchema.from_template(template) for template in TEMPLATES]
    return respond(schemas.Templates(items=items))


@router.get(
    "/{agent_id}",
    **operation(
        "getAgent", "Get an agent", answers={200: Answer(schemas.AgentSchema, "The agent.")}
    ),
)
def one(request: HttpRequest, agent_id: str) -> HttpResponse:
    """With its draft."""
    return _shown(agent_id)


@router.patch(
    "/{agent_id}/draft",
    **operation(
        "editDraft",
        "Edit the draft",
        takes=DraftIn,
        answers={200: Answer(schemas.AgentSchema, "The agent with the updated draft.")},
        refuses=["agent_deactivated"],
    ),
)
@write(Role.EDITOR)
def edit(request: HttpRequest, agent_id: str) -> HttpResponse:
    """Updates the parts you send. Everything else is unchanged."""
    save_draft(agent=_agent(agent_id), changes=read_object(request), by=actor_of(request))
    return _shown(agent_id)


@router.post(
    "/{agent_id}/publish",
    **operation(
        "publishDraft",
        "Publish the draft",
        takes=schemas.PublishIn,
        answers={200: Answer(schemas.Version, "The published version.")},
        refuses=["invalid_draft", "agent_deactivated", "nothing_to_publish"],
    ),
)
@write(Role.EDITOR)
def publish_draft(request: HttpRequest, agent_id: str) -> HttpResponse:
    """Publishes the draft and starts the next one as a copy. Returns the published version."""
    body = read(schemas.PublishIn, request)
    version = publish(
        agent=_agent(agent_id),
        by=actor_of(request),
        title=body.title or "",
        note=body.note or "",
    )
    return respond(schemas.Version.from_version(_versions(agent_id).get(pk=version.pk)))


@router.get(
    "/{agent_id}/versions",
    **operation(
        "listVersions",
        "List versions of an agent",
        query=PAGE,
        answers={200: Answer(schemas.Versions, "One page of versions.")},
        refuses=lists.CODES,
    ),
)
def versions(request: HttpRequest, agent_id: str) -> HttpResponse:
    """The draft first, then the newest version."""
    lists.only(request)
    _agent(agent_id)
    return lists.answer(
        request,
        _versions(agent_id),
        order=["-number"],
        page=schemas.Versions,
        show=schemas.Version.from_version,
    )


def _versions(agent_id: str) -> AgentVersionQuerySet:
    return AgentVersion.objects.with_config().filter(agent__public_id=agent_id)


def _agents() -> QuerySet[Agent]:
    """Return agents as `AgentSchema` needs them: each with its draft and no other version."""
    drafts = AgentVersion.objects.drafts().with_config()
    published = AgentVersion.objects.published().filter(agent=OuterRef("pk")).order_by("-number")
    return Agent.objects.annotate(
        latest_published=Subquery(published.values("number")[:1])
    ).prefetch_related(Prefetch("versions", drafts, to_attr="drafts"))


def _agent(agent_id: str) -> Agent:
    return get_object_or_404(_agents(), public_id=agent_id)


def _shown(agent_id: str, status: int = 200) -> HttpResponse:
    return respond(schemas.AgentSchema.from_agent(_agent(agent_id)), status)
