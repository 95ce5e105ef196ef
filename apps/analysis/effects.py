"""The side effects of an analysis, besides its result: contacts and webhooks.

A first analysis and an imported one notify all endpoints. A rerun, a backfill and a restored
result sends none, unless the one who started it asked for it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from django import forms
from django.db import models

from apps.core.errors import Example, UserError
from apps.core.schemas import Body


class Webhooks(models.TextChoices):
    """Which results are sent to webhook endpoints."""

    OFF = "off", "None"
    CHANGED = "changed", "Only where a value changed"
    ALL = "all", "All"


class InvalidSideEffects(UserError):
    """Raised for side effects that don't exist or can't be set so."""

    code = "invalid_side_effects"
    example = Example(
        "side_effects.webhooks must be one of off, changed, all, not “some”.",
        {
            "side_effects.webhooks": "side_effects.webhooks must be one of off, changed, all, "
            "not “some”."
        },
    )


class SideEffects(Body):
    """The side effects of a result."""

    contacts: bool = True
    """Whether analysis data mappings update contacts."""
    webhooks: Literal["off", "changed", "all"] = "off"

    def as_dict(self) -> dict[str, Any]:
        """Return both, as they are stored with a run."""
        return self.model_dump()

    def notifies(self, changed: Sequence[str], *, failed: bool = False) -> bool:
        """Return whether this result or failure is sent to webhooks. A failure changes nothing."""
        if self.webhooks == "changed":
            return bool(changed) and not failed
        return self.webhooks == "all"


UNLESS_ASKED = SideEffects()
"""The side effects of reruns, backfills and restored results. Default: none but contacts."""


def side_effects_of(options: Mapping[str, Any]) -> SideEffects:
    """Return the side effects in the stored options of a run."""
    return SideEffects.model_validate(options.get("side_effects") or {})


class SideEffectsForm(forms.Form):
    """The side effects, as a page asks for them."""

    webhooks = forms.ChoiceField(
        label="Send webhooks",
        choices=[
            (Webhooks.OFF, "nothing"),
            (Webhooks.CHANGED, "what changed"),
            (Webhooks.ALL, "every result"),
        ],
        required=False,
        initial=Webhooks.OFF,
        error_messages={
            "invalid_choice": "Webhooks must be off, changed, or all, not “%(value)s”."
        },
    )

    contacts = forms.ChoiceField(
        label="Update contacts",
        choices=[("on", "yes"), ("off", "no")],
        required=False,
        initial="on",
        error_messages={"invalid_choice": "Contacts must be on or off, not “%(value)s”."},
    )

    @property
    def side_effects(self) -> SideEffects:
        """Return the selection of a valid form. A missing one has its default."""
        webhooks = self.cleaned_data.get("webhooks") or Webhooks.OFF.value
        contacts = self.cleaned_data.get("contacts") != "off"
        return SideEffects.model_validate({"contacts": contacts, "webhooks": webhooks})
