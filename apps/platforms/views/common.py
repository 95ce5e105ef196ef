"""Helpers of the views of sources and payloads."""

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from django.urls import reverse

from apps.platforms.models import IntakeSource
from apps.platforms.sources import webhook_path

CHANGED = "intake:changed"
"""Fired when sources, their agents or payloads have changed."""


def source_or_404(source_id: str) -> IntakeSource:
    """Return the source of a public id."""
    source: IntakeSource = get_object_or_404(IntakeSource, public_id=source_id)
    return source


def source_url(source: IntakeSource) -> str:
    return reverse("intake:source", args=[source.public_id])


def webhook_url(request: HttpRequest, source: IntakeSource) -> str:
    """The whole address of a source's receiver, by the host that this page was asked for at."""
    return request.build_absolute_uri(webhook_path(source))
