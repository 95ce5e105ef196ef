"""Agents as the API shows them."""

from typing import Any

from apps.agents.models import Agent, AgentVersion
from apps.agents.services import draft_document
from apps.agents.templates import Template


def agent_json(agent: Agent) -> dict[str, Any]:
    """An agent with its draft; load it with ``drafts`` (its one) and ``latest_published``."""
    (draft,) = agent.drafts  # type: ignore[attr-defined]  # prefetched
    return {
        "id": agent.public_id,
        "name": agent.name,
        "channel": agent.channel,
        "deactivated": agent.deactivated_at is not None,
        "draft": {"version": draft.number, **draft_document(draft)},
        "latest_published": agent.latest_published,  # type: ignore[attr-defined]  # annotated
    }


def template_json(template: Template) -> dict[str, Any]:
    """A template as it would go into a draft."""
    return {
        "key": template.key,
        "title": template.title,
        "purpose": template.purpose,
        "schema": template.schema(),
        "instructions": template.instructions,
        "columns": template.columns,
    }


def version_json(version: AgentVersion) -> dict[str, Any]:
    """One version with what it holds."""
    return {
        "version": version.number,
        "published": not version.is_draft,
        "published_at": version.published_at,
        "published_by": version.published_by or None,
        "title": version.title,
        "note": version.note,
        "config": version.config.name,
        **draft_document(version),
    }
