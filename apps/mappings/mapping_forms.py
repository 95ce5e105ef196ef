"""The form of a mapping."""

from typing import Any

from django import forms

from apps.agents.models import Agent

from .models import Mapping, Mode
from .services import analysis_fields
from .targets import targets

MODE_TEXTS = {
    Mode.OVERWRITE: "Overwrite: the newest conversation with a value wins",
    Mode.FILL_IF_EMPTY: "Fill only if empty: the first value stays",
    Mode.ACCUMULATE: "Accumulate and summarize: collect the texts, and let a model combine them "
    "(incurs model charges)",
}


class MappingForm(forms.Form):
    """A mapping to create or edit. The service checks types."""

    analysis_field = forms.CharField(
        max_length=200,
        label="Analysis field",
        widget=forms.TextInput(attrs={"list": "analysis-fields", "autocomplete": "off"}),
    )
    agent = forms.ChoiceField(
        required=False,
        label="Agent",
        help_text="An agent’s own mapping replaces the one for all agents.",
    )
    contact_field = forms.ChoiceField(label="Contact field")
    mode = forms.ChoiceField(
        label="If the contact has a value",
        choices=[(mode.value, text) for mode, text in MODE_TEXTS.items()],
        initial=Mode.OVERWRITE.value,
    )

    def __init__(self, data: Any = None, *, mapping: Mapping | None = None) -> None:
        super().__init__(data, initial=_initial(mapping))
        agents = Agent.objects.order_by("name", "pk").values_list("public_id", "name")
        self._choices("agent", [("", "All agents"), *agents])
        self._choices("contact_field", [(t.name, t.label) for t in targets().values()])
        self.known_fields = sorted(analysis_fields(None))

    def _choices(self, name: str, choices: list[tuple[str, str]]) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices

    @property
    def chosen_agent(self) -> Agent | None:
        """Return the chosen agent, None for all."""
        chosen = self.cleaned_data["agent"]
        return Agent.objects.get(public_id=chosen) if chosen else None


def _initial(mapping: Mapping | None) -> dict[str, str] | None:
    if mapping is None:
        return None
    return {
        "agent": mapping.agent.public_id if mapping.agent else "",
        "analysis_field": mapping.analysis_field,
        "contact_field": mapping.contact_field,
        "mode": mapping.mode,
    }
