"""Forms of follow-ups: the filters of the queue, and input for one or many."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from django import forms
from django.utils import timezone

from apps.accounts.models import User
from apps.agents.models import Agent

from .due_times import end_of_day
from .listing import SORTS, VIEWS
from .models import NOTE_MAX, REASON_MAX, FollowUp
from .services import Details, owners

UNASSIGNED = "Unassigned"


class QueueForm(forms.Form):
    """The filters in the URL of the queue."""

    view = forms.ChoiceField(required=False, choices=list(VIEWS.items()))
    agent = forms.ChoiceField(required=False, label="Agent")
    sort = forms.ChoiceField(required=False, choices=[(name, name) for name in ("", *SORTS)])

    def __init__(self, data: Any) -> None:
        super().__init__(data)
        agents = Agent.objects.order_by("name", "pk").values_list("public_id", "name")
        field = self.fields["agent"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [("", "All agents"), *agents]


class FollowUpForm(forms.Form):
    """A follow-up to add or edit. A due date means the end of that day."""

    reason = forms.CharField(
        required=False,
        max_length=REASON_MAX,
        label="Reason",
        widget=forms.Textarea(attrs={"rows": 2, "autofocus": True}),
    )
    owner = forms.ChoiceField(required=False, label="Owner")
    due = forms.DateField(
        required=False,
        label="Due date",
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    note = forms.CharField(
        required=False, max_length=NOTE_MAX, label="Note", widget=forms.Textarea(attrs={"rows": 3})
    )
    version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, data: Any = None, *, follow_up: FollowUp | None = None) -> None:
        super().__init__(data, initial=_initial(follow_up))
        self.follow_up = follow_up
        self._users = {user.username: user for user in owners()}
        if follow_up and follow_up.owner:
            self._users.setdefault(follow_up.owner.username, follow_up.owner)
        field = self.fields["owner"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [("", UNASSIGNED), *((n, u.label) for n, u in self._users.items())]
        if follow_up is None:
            del self.fields["version"]

    @property
    def details(self) -> Details:
        """Return the input; the form must be valid."""
        data = self.cleaned_data
        return Details(
            reason=data["reason"],
            owner=self._users.get(data["owner"]),
            due_at=self._due_at(data["due"]),
            note=data["note"],
        )

    @property
    def changes(self) -> Mapping[str, Any]:
        """Return the input, by the columns of a follow-up."""
        entered = self.details
        return {name: getattr(entered, name) for name in ("reason", "owner", "due_at", "note")}

    def _due_at(self, day: date | None) -> datetime | None:
        before = self.follow_up.due_at if self.follow_up else None
        if day and before and timezone.localtime(before).date() == day:
            return before  # a time that a program set stays as it is
        return end_of_day(day)


class AssignForm(forms.Form):
    """An owner and a due date for many follow-ups. Empty inputs change nothing."""

    owner = forms.ChoiceField(label="Owner")
    due = forms.DateField(
        required=False,
        label="Due date",
        help_text="Empty: due dates stay as they are.",
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )

    def __init__(self, data: Any = None, *, user: User) -> None:
        super().__init__(data, initial={"owner": user.username})
        self._users = {found.username: found for found in owners()}
        field = self.fields["owner"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [*((n, u.label) for n, u in self._users.items()), ("-", UNASSIGNED)]

    @property
    def changes(self) -> Mapping[str, Any]:
        """Return the columns to set; the form must be valid."""
        data = self.cleaned_data
        found: dict[str, Any] = {"owner": self._users.get(data["owner"])}
        if data["due"]:
            found["due_at"] = end_of_day(data["due"])
        return found


def _initial(follow_up: FollowUp | None) -> dict[str, Any] | None:
    if follow_up is None:
        return None
    return {
        "reason": follow_up.reason,
        "owner": follow_up.owner.username if follow_up.owner else "",
        "due": timezone.localtime(follow_up.due_at).date() if follow_up.due_at else None,
        "note": follow_up.note,
        "version": follow_up.version,
    }
