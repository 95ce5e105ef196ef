"""What pages of this room send."""

from django import forms

from .effects import SideEffects, Webhooks


class SideEffectsForm(forms.Form):
    """What a new result sets off, chosen where it is asked for."""

    webhooks = forms.ChoiceField(
        label="Tell webhooks",
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

    @property
    def side_effects(self) -> SideEffects:
        """Return the choice of a valid form; anything left out is off."""
        return SideEffects.model_validate({"webhooks": self.cleaned_data.get("webhooks") or "off"})


class RerunForm(SideEffectsForm):
    """What the rerun dialog showed, so that nobody pays for another config than they saw."""

    config = forms.RegexField(r"^[0-9a-f]{64}$", required=False, widget=forms.HiddenInput)
