"""Forms of weekly reports."""

from typing import Any

from django import forms

from apps.accounts.models import User
from apps.conversations.filters import FilterError, parse

from .models import EmailReport, Weekday

HOURS = [(hour, f"{hour:02}:00") for hour in range(24)]


class EmailReportForm(forms.Form):
    """A weekly report: its name, time, and recipients. Filters come from the page it starts at."""

    name = forms.CharField(
        max_length=100,
        label="Name",
        widget=forms.TextInput(attrs={"autofocus": True}),
        error_messages={"required": "Enter a name."},
    )
    weekday = forms.TypedChoiceField(label="Day", choices=Weekday.choices, coerce=int)
    hour = forms.TypedChoiceField(label="Time", choices=HOURS, coerce=int)
    recipients = forms.ModelMultipleChoiceField(
        label="Recipients",
        required=False,
        queryset=User.objects.none(),
        widget=forms.CheckboxSelectMultiple,
    )
    channel = forms.ChoiceField(
        choices=[("voice", "Calls"), ("chat", "Chats")], widget=forms.HiddenInput
    )
    filters = forms.CharField(required=False, max_length=8000, widget=forms.HiddenInput)

    def __init__(self, data: Any = None, *, initial: dict[str, Any] | None = None) -> None:
        super().__init__(data, initial=initial)
        field = self.fields["recipients"]
        assert isinstance(field, forms.ModelMultipleChoiceField)
        field.queryset = User.objects.filter(is_active=True).exclude(email="").order_by("username")

    def clean(self) -> dict[str, Any]:
        """Check the filters, which an address can have changed."""
        cleaned: dict[str, Any] = super().clean() or {}
        report = EmailReport(filters=cleaned.get("filters", ""))
        try:
            parse(cleaned.get("channel"), report.params)
        except FilterError as error:
            self.add_error(None, error.message)
        return cleaned

    def apply_to(self, report: EmailReport) -> list[User]:
        """Put the input into a report; return its recipients."""
        for name in ("name", "weekday", "hour", "channel", "filters"):
            setattr(report, name, self.cleaned_data[name])
        return list(self.cleaned_data["recipients"])
