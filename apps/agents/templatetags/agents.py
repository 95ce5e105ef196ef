"""Show faults next to their controls."""

from collections.abc import Mapping, Sequence

from django import template

from apps.agents.changes import Fault

register = template.Library()


@register.inclusion_tag("agents/_fault.html")
def faults(
    slots: Mapping[str, Sequence[Fault]], place: str, *, oob: bool = False
) -> dict[str, object]:
    """The slot of a place, empty or not: a response out of band fills and empties it by its id."""
    return {"faults": slots.get(place, ()), "id": fault_id(place), "oob": oob}


@register.filter
def control_id(place: str) -> str:
    """Return the id of the control for a place of the Prompts tab."""
    if place.startswith("analysis.built_ins."):
        name, part = place.split(".")[2:]
        return f"{name}-{part}"
    return place.removeprefix("analysis.").replace("columns.", "column-")


@register.filter
def fault_id(place: str) -> str:
    """Return the id of the slot that a control is described by."""
    return f"fault-{place.replace('.', '-') or 'general'}"
