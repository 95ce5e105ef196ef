"""Forms of spending caps."""

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from django import forms

from apps.agents.models import Agent
from apps.core.dollars_field import DollarsField
from apps.llm.caps import Caps
from apps.llm.models import LanguageModel


class CapsForm(forms.Form):
    """The caps of a day and of a month, with those that were shown.

    ``confirmed`` are the caps whose immediate effect was shown. ``unpriced`` are the models that
    a cap needs the prices of.
    """

    unpriced: Sequence[LanguageModel] = ()
    use_required_attribute = False  # what is missing is said in words, at its place

    day = DollarsField(label="Daily cap in US dollars")
    month = DollarsField(label="Monthly cap in US dollars", help_text="Empty means no limit.")
    seen_day = forms.CharField(required=False, widget=forms.HiddenInput)
    seen_month = forms.CharField(required=False, widget=forms.HiddenInput)
    confirmed = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, data: Any = None, *, initial: dict[str, Any] | None = None) -> None:
        super().__init__(data, initial=initial)
        self.visible_fields()[0].field.widget.attrs["autofocus"] = True

    @classmethod
    def of(cls, data: Any, caps: Caps) -> "CapsForm":
        """Return the form filled in with the current caps."""
        return cls(data, initial=shown(caps))

    @property
    def caps(self) -> Caps:
        """Return the wanted caps of a valid form."""
        return Caps(self.cleaned_data["day"], self.cleaned_data["month"])

    @property
    def is_confirmed(self) -> bool:
        """Return whether these very caps were shown with their immediate effect."""
        return bool(self.cleaned_data["confirmed"] == self.caps_text)

    @property
    def caps_text(self) -> str:
        """Return the wanted caps of a valid form in one text."""
        return f"{_text(self.caps.day)}/{_text(self.caps.month)}"

    @property
    def seen(self) -> Caps:
        """Return the caps that the form was opened with."""
        return Caps(
            _amount(self.cleaned_data["seen_day"]), _amount(self.cleaned_data["seen_month"])
        )


class AgentCapsForm(CapsForm):
    """The caps of an agent that has none yet."""

    agent = forms.ModelChoiceField(
        label="Agent",
        queryset=Agent.objects.none(),
        to_field_name="public_id",
        empty_label="Select an agent",
        error_messages={"required": "Select an agent."},
    )
    field_order = ("agent",)

    def __init__(self, data: Any = None, *, initial: dict[str, Any] | None = None) -> None:
        super().__init__(data, initial=initial)
        field = self.fields["agent"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = Agent.objects.active().order_by("name", "pk")

    def clean(self) -> dict[str, Any]:
        """Require one of the caps."""
        cleaned = self.cleaned_data
        if not self.errors and self.caps == Caps():
            self.add_error("day", "Set a daily or a monthly cap.")
        return cleaned


def shown(caps: Caps) -> dict[str, str]:
    """Return caps as the form shows them and as it remembers them."""
    day, month = _text(caps.day), _text(caps.month)
    return {"day": day, "month": month, "seen_day": day, "seen_month": month}


def _text(amount: Decimal | None) -> str:
    """Return `50.00` or `0.0025`: at least cents."""
    if amount is None:
        return ""
    cents = amount.quantize(Decimal("0.01"))
    return f"{cents if cents == amount else amount.normalize():f}"


def _amount(text: str) -> Decimal | None:
    try:
        return Decimal(text) if text else None
    except InvalidOperation:
        return Decimal(-1)  # never the present cap: the person sees that one and decides again
