"""What pages of this room send."""

from django import forms

from .effects import SideEffects, Webhooks


class SideEffectsForm(forms.Form):
    """What a new result sets off, chosen where it is asked for."""

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


class RerunForm(SideEffectsForm):
    """What the rerun dialog showed, so that no one pays for another config than they saw."""

    config = forms.RegexField(r"^[0-9a-f]{64}$", required=False, widget=forms.HiddenInput)
