"""The contact fields that mappings and people can set: custom ones, names, and email."""

from dataclasses import dataclass

from apps.contacts.models import ContactField
from apps.contacts.values import BUILT_IN_SPECS, ValueSpec

LABELS = {"first_name": "First name", "last_name": "Last name", "email": "Email"}


@dataclass(frozen=True, slots=True)
class Target:
    """A contact field by name, with its label and the type of its values."""

    name: str
    label: str
    spec: ValueSpec


def targets() -> dict[str, Target]:
    """Return all contact fields that can be set, by name: names and email first."""
    built_in = [Target(name, LABELS[name], spec) for name, spec in BUILT_IN_SPECS.items()]
    custom = [Target(f.name, f.label, f.spec) for f in ContactField.objects.all()]
    return {target.name: target for target in [*built_in, *custom]}
