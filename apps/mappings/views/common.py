"""What the views of contacts share."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect

from apps.contacts.models import Contact
from apps.core.http import dialog_done, wants_fragment

CHANGED = "contacts:changed"
"""The event after which what shows contacts loads itself again."""


def contact_or_404(contact_id: str) -> Contact:
    """Return the contact with this public ID."""
    return get_object_or_404(Contact, public_id=contact_id)


def changed(request: HttpRequest, contact: Contact, text: str) -> HttpResponse:
    """Say what happened: next to the dialog, or on the contact's page without script."""
    if wants_fragment(request):
        return dialog_done(text, CHANGED)
    messages.success(request, text)
    return redirect("contacts:detail", contact.public_id)
