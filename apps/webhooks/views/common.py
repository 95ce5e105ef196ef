"""Helpers that the views of this app share."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse

from apps.core.http import dialog_done, hx_redirect, wants_fragment
from apps.webhooks.models import Endpoint

CHANGED = "webhooks:changed"
"""The event after which what shows endpoints and deliveries loads itself again."""


def endpoint_or_404(endpoint_id: str) -> Endpoint:
    """Return the endpoint with this public ID, and its agent."""
    return get_object_or_404(Endpoint.objects.select_related("agent"), public_id=endpoint_id)


def notify(request: HttpRequest, endpoint: Endpoint, text: str) -> HttpResponse:
    """Say what happened: next to the dialog, or on the endpoint's page without script."""
    if wants_fragment(request):
        return dialog_done(text, CHANGED)
    messages.success(request, text)
    return redirect("webhooks:detail", endpoint.public_id)


def redirect_deleted(request: HttpRequest, text: str) -> HttpResponse:
    """Redirect to the list, with a message that the endpoint was deleted."""
    messages.success(request, text)
    return hx_redirect(request, reverse("webhooks:list"))
