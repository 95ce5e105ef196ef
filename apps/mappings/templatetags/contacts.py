"""Cells of the contact list and values of contacts, as a person reads them."""

from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator

from apps.contacts.models import Contact, Origin
from apps.contacts.values import FieldType, show
from apps.core import display
from apps.core.templatetags.debrief import ago
from apps.mappings.directory.columns import Column, Talk

register = template.Library()

_CUT = 200
_TIMES = {"updated_at", "created_at", "last_conversation"}


@register.filter
def is_number(column: Column) -> bool:
    """Whether the values of a column line up at the right."""
    custom = column.custom
    return column.name == "conversations" or bool(custom and custom.type == FieldType.NUMBER)


@register.filter
def is_time(column: Column) -> bool:
    return column.name in _TIMES


@register.filter
def contact_cell_class(column: Column, is_first: bool) -> str:  # noqa: FBT001 (a filter's argument)
    """The classes of a column's cells (table.css)."""
    if is_first:
        return "fit card-title"
    if column.name == "updated_at":
        return "fit card-time"
    return "num fit" if is_number(column) else "fit"


@register.simple_tag
def contact_cell(contact: Contact, talk: Talk, column: Column) -> str | SafeString:
    """One cell. Everything that comes from data is escaped."""
    value = column.read(contact, talk)
    if column.name == "name":
        return _text(str(contact))
    if column.custom is not None:
        return _text(show(column.custom.spec, value))
    if column.name in _TIMES:
        return ago(value)
    if column.name == "conversations":
        return display.number(value) if value else display.NOTHING
    if column.name == "origin":
        return Origin(value).label
    return _text(value)


def _text(value: Any) -> str | SafeString:
    if value in (None, "", display.NOTHING):
        return display.NOTHING
    return format_html('<bdi dir="auto">{}</bdi>', Truncator(str(value)[: _CUT + 1]).chars(_CUT))
