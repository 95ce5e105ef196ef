"""Save and delete mappings. Types are checked against the drafts of the agents."""

from collections.abc import Iterator, Sequence
from collections.abc import Mapping as Map
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.accounts import audit
from apps.accounts.actors import Actor
from apps.agents.models import Agent, AgentVersion
from apps.contacts.values import BUILT_IN_SPECS, FieldType, ValueSpec, read
from apps.conversations.derived.definitions import derived_properties
from apps.core.errors import Conflict, Example, UserError
from apps.core.validation_messages import shown

from .models import Mapping, Mode
from .targets import Target, targets

NAMES_SHOWN = 40


class InvalidMapping(UserError):
    """Raised for a mapping that can't be saved. ``fields`` has a message per input."""

    code = "invalid_mapping"
    example = Example(
        "Unknown analysis field “topik”. Fields: call_summary, topic.",
        {"analysis_field": "Unknown analysis field “topik”. Fields: call_summary, topic."},
    )


class MappingExists(Conflict):
    """Raised for a second mapping of the same contact field and agents."""

    code = "mapping_exists"
    example = Example("“Plan” already has a mapping for all agents. Edit that one.")


def save_mapping(
    *,
    mapping: Mapping | None = None,
    agent: Agent | None,
    analysis_field: str,
    contact_field: str,
    mode: str,
    by: Actor,
) -> Mapping:
    """Create a mapping, or change one. Raise InvalidMapping or MappingExists.

    Existing values follow with the next results, or when mappings are applied to past analyses.
    """
    target = _checked(agent, analysis_field, contact_field, mode)
    values = {
        "agent": agent,
        "analysis_field": analysis_field,
        "contact_field": contact_field,
        "mode": mode,
        "updated_at": timezone.now(),
    }
    try:
        with transaction.atomic():
            saved = mapping or Mapping(created_by=by.label)
            for name, value in values.items():
                setattr(saved, name, value)
            saved.save()
            verb = "mapping.changed" if mapping else "mapping.created"
            audit.record(by=by, verb=verb, target=saved.public_id, detail=_details(saved))
    except IntegrityError:
        scope = agent.name if agent else "all agents"
        raise MappingExists(
            f"“{target.label}” already has a mapping for {scope}. Edit that one."
        ) from None
    return saved


@transaction.atomic
def delete_mapping(*, mapping: Mapping, by: Actor) -> None:
    """Delete a mapping. Its values stay until the next result of each conversation."""
    audit.record(by=by, verb="mapping.deleted", target=mapping.public_id, detail=_details(mapping))
    mapping.delete()


def analysis_fields(agent: Agent | None) -> dict[str, list[Map[str, Any]]]:
    """Return the analysis fields of an agent's draft, or of all agents, with their schemas.

    Derived fields are among them.
    """
    fields: dict[str, list[Map[str, Any]]] = {}
    for properties in _drafts(agent):
        for name, schema in properties.items():
            fields.setdefault(name, []).append(schema if isinstance(schema, dict) else {})
    for name, schema in derived_properties(agent=agent).items():
        fields.setdefault(name, []).append(schema)
    return fields


def _drafts(agent: Agent | None) -> Iterator[Map[str, Any]]:
    drafts = AgentVersion.objects.drafts().select_related("config")
    if agent is not None:
        drafts = drafts.filter(agent=agent)
    for version in drafts.order_by("agent"):
        properties = version.config.parsed().answer_schema().get("properties")
        yield properties if isinstance(properties, dict) else {}


def _checked(agent: Agent | None, analysis_field: str, contact_field: str, mode: str) -> Target:
    """Return the contact field. Raise InvalidMapping."""
    problems = {}
    known, fields = targets(), analysis_fields(agent)
    target = known.get(contact_field)
    if target is None:
        problems["contact_field"] = (
            f"Unknown contact field {shown(contact_field)}. Fields: {_list(list(known))}."
        )
    if mode not in Mode.values:
        problems["mode"] = f"mode must be one of {', '.join(Mode.values)}, not {shown(mode)}."
    if analysis_field not in fields:
        problems["analysis_field"] = (
            f"Unknown analysis field {shown(analysis_field)}. Fields: {_list(list(fields))}."
        )
    if target and not problems:
        problems = _misfit(target, fields[analysis_field], mode)
    if problems or target is None:
        raise InvalidMapping(" ".join(problems.values()), problems)
    return target


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMES_SHOWN:,} more" if len(names) > NAMES_SHOWN else ""
    return f"{', '.join(names[:NAMES_SHOWN])}{more}" if names else "none"


def _misfit(target: Target, schemas: Sequence[Map[str, Any]], mode: str) -> dict[str, str]:
    """Return a message where values can never fit, or the mode can't be used."""
    is_text = target.spec.type == FieldType.TEXT and target.name not in BUILT_IN_SPECS
    if mode == Mode.ACCUMULATE and not is_text:
        return {"mode": "Only custom fields of type text can accumulate."}
    if not any(_fits(target.spec, schema) for schema in schemas):
        label = target.spec.type.label.lower()
        return {
            "contact_field": f"“{target.label}” is of type {label}, which no value of this "
            "analysis field can be."
        }
    return {}


_TYPES = {
    FieldType.TEXT: {"string", "number", "integer", "boolean", "array"},
    FieldType.NUMBER: {"number", "integer", "string"},
    FieldType.BOOLEAN: {"boolean", "string", "integer"},
    FieldType.DATE: {"string"},
    FieldType.DATETIME: {"string"},
    FieldType.CHOICE: {"string", "number", "integer", "boolean"},
}


def _fits(spec: ValueSpec, schema: Map[str, Any]) -> bool:
    """Return whether some value of this JSON Schema can be of the type."""
    if isinstance(values := schema.get("enum"), list):
        readings = [read(spec, value) for value in values if value is not None]
        return any(reading.value is not None for reading in readings)
    kinds = schema.get("type")
    if kinds is None:
        return True
    named = {kinds} if isinstance(kinds, str) else set(kinds)
    return bool(named & _TYPES[spec.type])


def _details(mapping: Mapping) -> dict[str, Any]:
    return {
        "agent": mapping.agent.public_id if mapping.agent else None,
        "analysis_field": mapping.analysis_field,
        "contact_field": mapping.contact_field,
        "mode": mapping.mode,
    }
