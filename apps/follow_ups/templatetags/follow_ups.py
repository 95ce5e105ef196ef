"""How follow-ups look on pages."""

from typing import Any

from django import template
from django.utils.text import Truncator

from apps.conversations.models import Conversation
from apps.core import display
from apps.follow_ups.models import ValueChange

register = template.Library()

LONGEST = 60
"""Characters of a value that a line shows."""


@register.filter
def who(conversation: Conversation) -> str:
    """Return the name of the contact, else their number or email, else the ID."""
    contact = conversation.contact
    if contact is not None:
        found = contact.name or contact.phone_number or contact.email
        if found:
            return str(found)
    outbound = conversation.direction == "outbound"
    number = conversation.to_number if outbound else conversation.from_number
    return number or str(display.short_id(conversation.public_id))


@register.filter
def change_text(change: ValueChange) -> str:
    """Return a changed value in words: `follow_up_needed: Yes → No`."""
    return f"{change.name}: {_text(change.before)} → {_text(change.after)}"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if value in (None, "", []):
        return "empty"
    return Truncator(display.one_line(value)).chars(LONGEST)
