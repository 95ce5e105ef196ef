"""What the views of contacts share."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse

from apps.accounts.responses import done
from apps.contacts.models import Contact

CHANGED = "contacts:changed"
"""The event after which what shows contacts loads itself again."""


def contact_or_404(contact_id: str) -> Contact:
    """Return the contact with this public ID."""
    return get_object_or_404(Contact, public_id=contact_id)


def changed(request: HttpRequest, contact: Contact, text: str) -> HttpResponse:
    """Say what happened: next to the dialog, or on the contact's page without script."""
    url = reverse("contacts:detail", args=[contact.public_id])
    return done(request, url, text, event=CHANGED)
