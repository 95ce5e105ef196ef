"""Save and delete derived fields."""

import re

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.accounts import audit
from apps.accounts.actors import Actor
from apps.agents.derived_names import hold_names
from apps.agents.documents import categories
from apps.agents.models import Agent, Channel, DerivedField, DerivedType
from apps.conversations.filters import RuleFields
from apps.conversations.filters.catalog import schema_fields
from apps.core.errors import Conflict, Example
from apps.core.validation_messages import shown

from .definitions import (
    InvalidDerivedField,
    document_of,
    names_of,
    properties_of,
    read_definition,
)

NAME = re.compile(r"[a-z][a-z0-9_]{0,49}")


class DerivedFieldChanged(Conflict):
    """Raised where someone else changed the field since it was read."""

    code = "derived_field_changed"
    example = Example("Someone else changed “quality” in the meantime. Reload, then edit again.")


@transaction.atomic
def save_derived_field(
    *,
    name: str,
    label: str,
    kind: str,
    channel: str,
    agent: Agent | None,
    definition: object,
    by: Actor,
    seen: str = "",
) -> DerivedField:
    """Create a derived field, or change the one of this name. Raise InvalidDerivedField.

    ``seen`` is the `revision_of` the field that was edited: DerivedFieldChanged where another is
    stored by now. New results have it from now on, past ones after a run.
    """
    hold_names(for_schemas=False)
    if problems := _problems(name, label, kind, channel, agent):
        raise InvalidDerivedField(" ".join(problems.values()), problems)
    found = read_definition(
        definition,
        name=name,
        kind=DerivedType(kind),
        channel=channel,
        agent_id=agent.pk if agent else None,
        source=RuleFields(channel, derived=False),
    )
    values = {
        "label": label,
        "type": kind,
        "channel": channel,
        "agent": agent,
        "definition": document_of(found),
        "properties": properties_of(found, label),
        "updated_at": timezone.now(),
    }
    stored = DerivedField.objects.select_for_update().filter(name=name).first()
    if seen and (stored is None or revision_of(stored) != seen):
        raise DerivedFieldChanged(
            f"Someone else changed “{name}” in the meantime. Reload, then edit again."
        )
    saved = stored or DerivedField(name=name, created_by=by.label)
    for key, value in values.items():
        setattr(saved, key, value)
    _store(saved)
    verb = "derived_field.changed" if stored else "derived_field.created"
    audit.record(by=by, verb=verb, target=name, detail={"type": kind, "channel": channel})
    return saved


def revision_of(field: DerivedField) -> str:
    """Return the name of this state of a field; a later one has another."""
    return str(field.updated_at.timestamp())


@transaction.atomic
def delete_derived_field(*, field: DerivedField, by: Actor) -> None:
    """Delete a derived field. Past results keep its values."""
    audit.record(by=by, verb="derived_field.deleted", target=field.name, detail={})
    field.delete()


def _store(field: DerivedField) -> None:
    try:
        with transaction.atomic():
            field.save()
    except IntegrityError:
        raise DerivedFieldChanged(
            f"Someone else created “{field.name}” in the meantime. Reload, then edit that one."
        ) from None


def _problems(
    name: str, label: str, kind: str, channel: str, agent: Agent | None
) -> dict[str, str]:
    found: dict[str, str] = {}
    if not NAME.fullmatch(name):
        found["name"] = (
            f"name must be 1 to 50 lowercase letters, digits, and underscores, and begin with a "
            f"letter, not {shown(name)}."
        )
    if not label or len(label) > 100 or "\x00" in label:
        found["label"] = "label must be a text of 1 to 100 characters."
    if kind not in DerivedType.values:
        known = ", ".join(DerivedType.values)
        found["type"] = f"type must be one of {known}, not {shown(kind)}."
    if channel not in Channel.values:
        known = ", ".join(Channel.values)
        found["channel"] = f"channel must be one of {known}, not {shown(channel)}."
    elif agent is not None and agent.channel != channel:
        found["agent_id"] = f"“{agent.name}” takes no conversations of this channel."
    return found or _taken(name, kind)


def _taken(name: str, kind: str) -> dict[str, str]:
    """Return a message where a field of a schema, or of another derived field, has the name."""
    built_in = {one.name for each in Channel.values for one in categories(each)}
    known = schema_fields(None)
    others = {
        taken: row.name
        for row in DerivedField.objects.exclude(name=name)
        for taken in names_of(row.name, row.type)
    }
    for own in names_of(name, kind):
        if own in others:
            return {"name": f"The derived field “{others[own]}” already has a field “{own}”."}
        if own in built_in:
            return {"name": f"“{own}” is reserved for a built-in field. Choose another name."}
        if own in known and not known[own].computed:
            agents = ", ".join(known[own].agents[:3])
            return {"name": f"The schema of {agents} has a field “{own}”. Choose another name."}
    return {}
