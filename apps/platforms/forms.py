"""Forms of sources and the filters of payloads."""

from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.text import Truncator

from apps.agents.models import Agent

from .models import (
    IntakePayload,
    IntakeSource,
    PayloadQuerySet,
    PayloadState,
    Platform,
    PlatformAnalysis,
    UploadChannel,
)
from .sources import MAX_NAME, MAX_SECRET, MAX_WAIT

RULE_HELP = (
    "How to handle the platform’s own analysis. With “Use the platform’s analysis”, Debrief "
    "doesn’t call a model."
)


def _secret() -> forms.CharField:
    quiet = {"autocomplete": "off", "spellcheck": "false", "data-1p-ignore": "", "class": "mono"}
    return forms.CharField(
        label="Secret",
        required=False,  # what is missing, and whether it may be, is said by the service
        max_length=MAX_SECRET,
        widget=forms.PasswordInput(attrs=quiet, render_value=True),
    )


class RuleForm(forms.Form):
    """Name and rule of a source."""

    name = forms.CharField(
        label="Name",
        max_length=MAX_NAME,
        help_text="For example, “Retell, sales team”",
        widget=forms.TextInput(attrs={"autocomplete": "off", "autofocus": True}),
    )
    platform_analysis = forms.ChoiceField(
        label="Analysis",
        choices=PlatformAnalysis.choices,
        initial=PlatformAnalysis.OURS,
        help_text=RULE_HELP,
    )
    wait_minutes = forms.IntegerField(
        label="Minutes to wait",
        min_value=1,
        max_value=MAX_WAIT,
        initial=10,
        required=False,
        help_text="How long to wait after the conversation ends",
    )

    @classmethod
    def of(cls, source: IntakeSource) -> "RuleForm":
        """Filled in with stored values."""
        names = ("name", "platform_analysis", "wait_minutes")
        return cls(initial={name: getattr(source, name) for name in names})

    def clean_wait_minutes(self) -> int:
        """Ten where nothing is said: the field means nothing under the other rules."""
        return self.cleaned_data.get("wait_minutes") or 10


class SourceForm(RuleForm):
    """A new source of the platform in ``kind``."""

    kind = forms.ChoiceField(choices=Platform.choices, widget=forms.HiddenInput)
    secret = _secret()
    field_order = ["kind", "name", "secret", "platform_analysis", "wait_minutes"]


class SecretForm(forms.Form):
    secret = _secret()


class AgentField(forms.ModelChoiceField[Agent]):
    """One of our agents: two may have one name, so the channel and the state are added."""

    def label_from_instance(self, obj: Agent) -> str:
        state = " · not set up" if obj.unconfigured else ""
        return f"{obj.name} · {obj.get_channel_display()}{state}"


class AgentForm(forms.Form):
    """Match a platform's agent with a Debrief agent."""

    external_id = forms.CharField(
        label="Platform agent",
        max_length=200,
        help_text="The agent ID in the platform’s payloads",
        widget=forms.TextInput(attrs={"autocomplete": "off", "class": "mono"}),
    )
    agent = AgentField(
        label="Debrief agent",
        queryset=Agent.objects.none(),
        to_field_name="public_id",
        empty_label="Choose an agent",
        error_messages={"invalid_choice": "This agent no longer exists. Choose another."},
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["agent"]
        assert isinstance(field, AgentField)
        field.queryset = Agent.objects.active().in_page_order()


class PayloadFilterForm(forms.Form):
    """The filters of *Intake*, all optional, all combined; the URL holds them."""

    source = forms.ChoiceField(label="Source", required=False)
    state = forms.ChoiceField(
        choices=[("", "All"), *PayloadState.choices], required=False, widget=forms.HiddenInput
    )
    code = forms.CharField(max_length=50, required=False, widget=forms.HiddenInput)
    q = forms.CharField(
        label="Search",
        max_length=300,
        required=False,
        widget=forms.TextInput(
            attrs={
                "type": "search",
                "placeholder": "ID, event, or reason",
                "aria-label": "Search IDs, events, and reasons",
                "data-key": "/",
            }
        ),
    )

    def __init__(self, data: QueryDict, sources: list[IntakeSource]) -> None:
        super().__init__(data)
        field = self.fields["source"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [
            ("", "All sources"),
            *((source.public_id, Truncator(source.name).chars(40)) for source in sources),
            *UploadChannel.choices,
        ]
        field.error_messages["invalid_choice"] = "Unknown source “%(value)s”."
        self.fields["state"].error_messages["invalid_choice"] = (
            "Unknown state “%(value)s”. Use taken or refused."
        )

    def rows(self) -> PayloadQuerySet:
        """Return what matches, of a valid form; nothing of one that is not."""
        if not self.is_valid():
            return IntakePayload.objects.none()
        asked = self.cleaned_data
        rows = IntakePayload.objects.all()
        if asked["source"] in UploadChannel.values:
            rows = rows.filter(source=None, upload_channel=asked["source"])
        elif asked["source"]:
            rows = rows.filter(source__public_id=asked["source"])
        if asked["state"]:
            rows = rows.filter(state=asked["state"])
        if asked["code"]:
            rows = rows.refused().filter(code=asked["code"])
        return rows.found_by(asked["q"]) if asked["q"] else rows
