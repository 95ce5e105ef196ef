"""Forms for webhook endpoints."""

from datetime import timedelta
from typing import Any

from django import forms

from apps.agents.models import Agent

from .models import DeliveryState, Endpoint, EventType

SINCE = {
    "hour": ("the last hour", timedelta(hours=1)),
    "day": ("the last 24 hours", timedelta(days=1)),
    "week": ("the last 7 days", timedelta(days=7)),
    "month": ("the last 30 days", timedelta(days=30)),
}
"""How far back *Send again* may reach; older deliveries are not stored."""


EVENTS = [(event.value, event.label) for event in EventType]


class EndpointForm(forms.Form):
    """Where to send what. What the address may be, the service says."""

    url = forms.CharField(
        label="URL",
        max_length=2000,
        widget=forms.TextInput(
            attrs={
                "inputmode": "url",
                "autocomplete": "off",
                "placeholder": "https://example.com/hooks/debrief",
                "autofocus": True,
                "spellcheck": "false",
            }
        ),
        error_messages={"required": "Enter a URL."},
    )
    events = forms.MultipleChoiceField(
        choices=EVENTS,
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Select at least one event."},
    )
    agent = forms.ModelChoiceField(
        label="Agent",
        required=False,
        queryset=Agent.objects.order_by("name", "pk"),
        to_field_name="public_id",
        empty_label="All agents",
        help_text="Only send events for this agent.",
    )

    @classmethod
    def of(cls, endpoint: Endpoint) -> "EndpointForm":
        """Return the form filled in with an endpoint."""
        agent = endpoint.agent.public_id if endpoint.agent else None
        return cls(initial={"url": endpoint.url, "events": endpoint.events, "agent": agent})


class TestForm(forms.Form):
    """Which of an endpoint's events to send an example of."""

    events = forms.MultipleChoiceField(
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Select at least one event."},
    )

    def __init__(self, endpoint: Endpoint, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["events"]
        assert isinstance(field, forms.MultipleChoiceField)
        field.choices = [(value, label) for value, label in EVENTS if value in endpoint.events]
        field.initial = list(endpoint.events)


class EnableForm(forms.Form):
    """Ask whether to send the missed events."""

    send_missed = forms.BooleanField(required=False, initial=True, label="Send missed events")


class AgainForm(forms.Form):
    """How far back to send again what failed."""

    since = forms.ChoiceField(
        label="Failed in",
        choices=[(name, label) for name, (label, _) in SINCE.items()],
        initial="day",
    )


class DeliveriesForm(forms.Form):
    """The filters of the deliveries page."""

    state = forms.ChoiceField(
        required=False,
        label="State",
        choices=[("", "All"), *DeliveryState.choices],
        error_messages={"invalid_choice": "Unknown state “%(value)s”."},
    )
    event = forms.ChoiceField(
        required=False,
        label="Event",
        choices=[("", "All events"), *((value, value) for value, _ in EVENTS)],
        error_messages={"invalid_choice": "Unknown event “%(value)s”."},
    )
