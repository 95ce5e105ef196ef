"""Agents, their drafts and versions."""

from django.db.models import OuterRef, Prefetch, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from ninja import Router

from apps.accounts.actors import actor_of
from apps.accounts.models import Role
from apps.agents.draft_start import Source, template_source
from apps.agents.models import Agent, AgentVersion, AgentVersionQuerySet
from apps.agents.services import create_agent, publish, save_draft
from apps.agents.templates import BY_KEY, TEMPLATES

from . import lists
from .errors import read_object, refuse_unknown
from .openapi import Answer, operation
from .parameters import PAGE
from .presenting import agent_json, template_json, version_json
from .reading import InvalidValue, text
from .shapes import agents as shapes
from .writes import write

router = Router(tags=["Agents"])


@router.post(
    "",
    **operation(
        "createAgent",
        "Create an agent",
        takes=shapes.AgentIn,
        answers={201: Answer(shapes.Agent, "The new agent.")},
        refuses=["invalid_draft", "invalid_value", "unknown_keys"],
    ),
)
@write(Role.EDITOR)
def create(request: HttpRequest) -> HttpResponse:
    """With its first draft, V0, at the default prompts or from a template."""
    body = read_object(request)
    refuse_unknown(body, {"name", "channel", "template"})
    agent = create_agent(
        name=text(body, "name"),
        channel=text(body, "channel"),
        by=actor_of(request),
        start=_start(text(body, "template")),
    )
    return JsonResponse(agent_json(_agent(agent.public_id)), status=201)


@router.get(
    "",
    **operation(
        "listAgents",
        "List agents",
        query=PAGE,
        answers={200: Answer(shapes.Agents, "One page of agents.")},
        refuses=["bad_request", "invalid_cursor", "repeated_parameter"],
    ),
)
def many(request: HttpRequest) -> HttpResponse:
    """By name; each with its draft."""
    lists.only(request)
    return lists.answer(request, _agents(), order=["name"], show=agent_json)


@router.get(
    "/templates",
    **operation(
        "listTemplates",
        "Templates of fields",
        answers={200: Answer(shapes.Templates, "All templates; there are no pages.")},
    ),
)
def templates(request: HttpRequest) -> HttpResponse:
    """Fields and an analysis prompt to begin with, as `POST /api/agents` takes them."""
    return JsonResponse({"items": [template_json(template) for template in TEMPLATES]})


@router.get(
    "/{agent_id}",
    **operation("getAgent", "One agent", answers={200: Answer(shapes.Agent, "The agent.")}),
)
def one(request: HttpRequest, agent_id: str) -> HttpResponse:
    """With its draft."""
    return JsonResponse(agent_json(_agent(agent_id)))


@router.patch(
    "/{agent_id}/draft",
    **operation(
        "editDraft",
        "Edit the draft",
        takes=shapes.DraftIn,
        answers={200: Answer(shapes.Agent, "The agent with the draft as it is now.")},
        refuses=["invalid_draft", "agent_deactivated"],
    ),
)
@write(Role.EDITOR)
def edit(request: HttpRequest, agent_id: str) -> HttpResponse:
    """Any part of the draft; what is left out stays as it is."""
    save_draft(agent=_agent(agent_id), changes=read_object(request), by=actor_of(request))
    return JsonResponse(agent_json(_agent(agent_id)))


@router.post(
    "/{agent_id}/publish",
    **operation(
        "publishDraft",
        "Publish the draft",
        takes=shapes.PublishIn,
        answers={200: Answer(shapes.Version, "The version as it was frozen.")},
        refuses=[
            "invalid_draft",
            "invalid_value",
            "agent_deactivated",
            "nothing_to_publish",
            "unknown_keys",
        ],
    ),
)
@write(Role.EDITOR)
def publish_draft(request: HttpRequest, agent_id: str) -> HttpResponse:
    """Freezes the draft and opens the next one as its copy; answers the frozen version."""
    body = read_object(request)
    refuse_unknown(body, {"title", "note"})
    version = publish(
        agent=_agent(agent_id),
        by=actor_of(request),
        title=text(body, "title"),
        note=text(body, "note"),
    )
    return JsonResponse(version_json(_versions(agent_id).get(pk=version.pk)))


@router.get(
    "/{agent_id}/versions",
    **operation(
        "listVersions",
        "Versions of an agent",
        query=PAGE,
        answers={200: Answer(shapes.Versions, "One page of versions.")},
        refuses=["bad_request", "invalid_cursor", "repeated_parameter"],
    ),
)
def versions(request: HttpRequest, agent_id: str) -> HttpResponse:
    """The newest first, the draft before all."""
    lists.only(request)
    _agent(agent_id)
    return lists.answer(request, _versions(agent_id), order=["-number"], show=version_json)


def _start(key: str) -> Source | None:
    """The template of a key. Raises InvalidValue for one that there is not."""
    if key and key not in BY_KEY:
        known = ", ".join(BY_KEY)
        raise InvalidValue(
            f"There is no template {key[:60]}; there are {known}.", {"template": f"One of {known}."}
        )
    return template_source(BY_KEY[key]) if key else None


def _versions(agent_id: str) -> AgentVersionQuerySet:
    return AgentVersion.objects.with_config().filter(agent__public_id=agent_id)


def _agents() -> QuerySet[Agent]:
    """Agents as `agent_json` reads them: with their drafts, however many versions there are."""
    drafts = AgentVersion.objects.drafts().with_config()
    published = AgentVersion.objects.published().filter(agent=OuterRef("pk")).order_by("-number")
    return Agent.objects.annotate(
        latest_published=Subquery(published.values("number")[:1])
    ).prefetch_related(Prefetch("versions", drafts, to_attr="drafts"))


def _agent(agent_id: str) -> Agent:
    return get_object_or_404(_agents(), public_id=agent_id)
