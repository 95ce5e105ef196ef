"""The gallery of components: for developers and for the screenshots."""

from datetime import UTC, datetime

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apps.accounts.access import role_required
from apps.accounts.models import Role


class _Form(forms.Form):
    name = forms.CharField(help_text="Shown in lists.")
    role = forms.ChoiceField(choices=[("viewer", "Viewer"), ("editor", "Editor")])
    note = forms.CharField(widget=forms.Textarea(attrs={"rows": 2}), required=False)
    active = forms.BooleanField(required=False)
    count = forms.IntegerField(min_value=1)


@require_safe
@role_required(Role.ADMIN)
def gallery(request: HttpRequest) -> HttpResponse:
    """Return a page with every component, with data made up here."""
    context = {
        "form": _Form({"name": "Retell, sales", "role": "editor", "count": "0"}),
        "moment": datetime(2026, 10, 21, 14, 3, 22, tzinfo=UTC),
        "states": ("pending", "running", "succeeded", "failed", "skipped", "cancelled", "paused"),
        "before": "You read calls.\nBe brief.",
        "after": "You read calls.\nBe brief and precise.\nNever guess.",
        "data": {"topic": "refund", "amount": 12.5},
    }
    return render(request, "components/gallery.html", context)
