"""Helpers that the views of this app share."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse

from apps.core.http import hx_redirect
from apps.webhooks.models import Endpoint

CHANGED = "webhooks:changed"
"""The event after which what shows endpoints and deliveries loads itself again."""


def endpoint_or_404(endpoint_id: str) -> Endpoint:
    """Return the endpoint with this public ID, and its agent."""
    return get_object_or_404(Endpoint.objects.select_related("agent"), public_id=endpoint_id)


def redirect_changed(request: HttpRequest, endpoint: Endpoint, text: str) -> HttpResponse:
    """Load the endpoint's page with a message: its title and buttons may have changed too."""
    messages.success(request, text)
    return hx_redirect(request, reverse("webhooks:detail", args=[endpoint.public_id]))


def redirect_deleted(request: HttpRequest, text: str) -> HttpResponse:
    """Redirect to the list, with a message that the endpoint was deleted."""
    messages.success(request, text)
    return hx_redirect(request, reverse("webhooks:list"))
