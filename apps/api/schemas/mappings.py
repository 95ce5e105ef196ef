"""Mappings of analysis fields to contact fields."""

from typing import Annotated, Self

from pydantic import Field

from apps.core.schemas import Body, Choice, Schema, eg
from apps.mappings.models import Mapping, Mode
from apps.mappings.services import InvalidMapping

from . import examples
from .common import Page


class MappingIn(Body):
    """The fields to map, and the mode."""

    missing = InvalidMapping
    invalid = InvalidMapping
    example = {
        "agent_id": None,
        "analysis_field": "call_summary",
        "contact_field": "last_summary",
        "mode": "overwrite",
    }

    agent_id: str | None = None
    """Only results of this agent; null for all."""
    analysis_field: Annotated[str, Field(max_length=200, examples=["call_summary"])]
    contact_field: Annotated[str, Field(max_length=60, examples=["last_summary"])]
    """A custom field by name, `first_name`, `last_name`, or `email`."""
    mode: Annotated[Mode, Choice] = Mode.OVERWRITE


class MappingSchema(Schema):
    """A mapping of an analysis field to a contact field."""

    id: Annotated[str, eg(examples.MAPPING_ID)]
    agent_id: str | None
    analysis_field: Annotated[str, eg("call_summary")]
    contact_field: Annotated[str, eg("last_summary")]
    mode: Annotated[Mode, eg("overwrite")]

    @classmethod
    def from_mapping(cls, mapping: Mapping) -> Self:
        """Return a mapping, loaded with its agent."""
        return cls(
            id=mapping.public_id,
            agent_id=mapping.agent.public_id if mapping.agent else None,
            analysis_field=mapping.analysis_field,
            contact_field=mapping.contact_field,
            mode=Mode(mapping.mode),
        )


class Mappings(Page[MappingSchema]):
    """One page of mappings."""
