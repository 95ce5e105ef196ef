"""Filters of contacts: the grammar of conversations, over people and their custom fields.

A custom field is ``fields.NAME``. The rest are the columns of a contact.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from django.db.models import Q, QuerySet
from django.urls import reverse
from django.utils.datastructures import MultiValueDict

from apps.contacts.models import Contact, ContactAlias, ContactField, Origin
from apps.contacts.values import FieldType
from apps.conversations.filters import Field, FilterError, ValueKind
from apps.conversations.filters.choices import ValueChoice
from apps.conversations.filters.conditions import (
    ChoiceColumn,
    Identity,
    KeyColumn,
    Target,
    TimeColumn,
)
from apps.conversations.filters.filterset import StrictFilterSet
from apps.conversations.filters.json_keys import JsonKey, JsonMoment
from apps.conversations.filters.sources import Groups, grouped
from apps.conversations.filters.spec import Params, Spec, understand
from apps.conversations.filters.values import read_phone

from .columns import Column, columns_of, usual_names

DEFAULT_SORT = "-updated_at"
CUSTOM = "Custom fields"
MANY = 1_000
_PERSON = "Contact"
_YES_NO = (("true", "Yes"), ("false", "No"))
_KINDS = {
    FieldType.TEXT: ValueKind.TEXT,
    FieldType.NUMBER: ValueKind.NUMBER,
    FieldType.BOOLEAN: ValueKind.YES_NO,
    FieldType.DATE: ValueKind.TIME,
    FieldType.DATETIME: ValueKind.TIME,
    FieldType.CHOICE: ValueKind.CHOICE,
}


def _key(name: str, label: str, path: str = "") -> Field:
    target = KeyColumn(path or name)
    return Field(name, label, (ValueKind.TEXT,), target, _PERSON, sort=path or name)


def _time(name: str, label: str) -> Field:
    return Field(name, label, (ValueKind.TIME,), TimeColumn(name), _PERSON, sort=name)


_ORIGINS = tuple((str(value), str(label)) for value, label in Origin.choices)
STATIC: Mapping[str, Field] = {
    field.name: field
    for field in (
        _key("name", "Name", "name_key"),
        Field(
            "phone_number",
            "Phone number",
            (ValueKind.TEXT,),
            KeyColumn("phone_number", read=read_phone),
            _PERSON,
            sort="phone_number",
        ),
        _key("email", "Email"),
        Field(
            "origin",
            "Created by",
            (ValueKind.CHOICE,),
            ChoiceColumn("origin", _ORIGINS),
            _PERSON,
            choices=_ORIGINS,
        ),
        _time("created_at", "Created"),
        _time("updated_at", "Updated"),
        Field("id", "ID", (ValueKind.ID,), Identity(), _PERSON),
    )
}


def custom_field(defined: ContactField) -> Field:
    """A custom field as something to filter by."""
    kind = _KINDS[FieldType(defined.type)]
    choices = tuple((choice, choice) for choice in defined.choices)
    return Field(
        f"fields.{defined.name}",
        defined.label,
        (kind,),
        _target(defined, kind, choices),
        CUSTOM,
        choices=_YES_NO if kind is ValueKind.YES_NO else choices,
    )


def _target(defined: ContactField, kind: ValueKind, choices: Sequence[tuple[str, str]]) -> Target:
    if kind is ValueKind.TIME:
        return JsonMoment("fields", defined.name, days=defined.type == FieldType.DATE)
    return JsonKey("fields", defined.name, (kind,), choices)


class ContactFields:
    """What contacts can be filtered by, read once per request."""

    @cached_property
    def custom(self) -> list[ContactField]:
        """The custom fields, in the order in which people see them."""
        return list(ContactField.objects.all())

    @cached_property
    def by_name(self) -> Mapping[str, Field]:
        return {**STATIC, **{f"fields.{c.name}": custom_field(c) for c in self.custom}}

    @property
    def row_url(self) -> str:
        return f"{reverse('contacts:filter_row')}?"

    def named(self, name: str) -> Field | None:
        return self.by_name.get(name)

    def groups(self) -> Groups:
        return grouped(self.by_name.values())

    def choices(self, field: Field) -> Sequence[ValueChoice]:
        return [ValueChoice(value, label) for value, label in field.choices]


class ContactFilterSet(StrictFilterSet):
    """The filter behind the page, the export and the API."""

    default_sort = DEFAULT_SORT

    class Meta:
        model = Contact
        fields: list[str] = []

    def __init__(self, data: MultiValueDict[str, str], *, source: ContactFields) -> None:
        self.source = source
        super().__init__(data, Contact.objects.all())

    def named(self, name: str) -> Field | None:
        return self.source.named(name)

    def unknown_name(self, parameter: str, name: str) -> str:
        if name.startswith("fields."):
            return f"There is no contact field “{name.removeprefix('fields.')[:60]}”."
        return super().unknown_name(parameter, name)


@dataclass(frozen=True, slots=True)
class ContactSpec(Spec):
    """A filter of contacts that was understood in full.

    ``shown`` are the columns of the list, also those that nothing can be filtered by.
    """

    source: ContactFields
    shown: tuple[Column, ...]

    def queryset(self) -> QuerySet[Contact]:
        """The contacts that match, in no particular order."""
        rows = cast("QuerySet[Contact]", self.filterset.qs.order_by())
        return rows.filter(search(self.q)) if self.q else rows

    def of_the_page(self) -> dict[str, list[str]]:
        """Sort and columns as parameters, where they are not the usual ones."""
        names = [column.name for column in self.shown]
        params = {"columns": names} if names != usual_names(self.source.custom) else {}
        if self.sort.parameter != DEFAULT_SORT:
            params["sort"] = [self.sort.parameter]
        return params


def parse(params: Params, source: ContactFields | None = None) -> ContactSpec:
    """Understand every parameter. Raises `FilterError`; never all contacts instead."""
    source = source or ContactFields()
    given = {name: _listed(params, name) for name in params}
    names = [name for item in given.pop("columns", []) for name in item.split(",") if name]
    errors: dict[str, str] = {}
    try:
        shown = columns_of(names, source.custom)
    except FilterError as error:
        errors, shown = error.errors, []
    try:
        spec = understand(given, lambda data: ContactFilterSet(data, source=source))
    except FilterError as error:
        raise FilterError({**error.errors, **errors}) from None
    if errors:
        raise FilterError(errors)
    return ContactSpec(
        spec.conditions,
        spec.q,
        spec.sort,
        (),
        spec.filterset,
        source=source,
        shown=tuple(shown),
    )


def _listed(params: Params, name: str) -> list[Any]:
    if isinstance(params, MultiValueDict):
        return list(params.getlist(name))
    value = params[name]
    return list(value) if isinstance(value, list | tuple) else [value]


def search(text: str) -> Q:
    """Contacts whose name, last name, phone number or email begins so, or whose ID this is.

    Each is a range of an index: a search must not read a million rows.
    """
    folded = text.lower()
    keys = {"email": [folded], "phone_number": _numbers(text)}
    found = Q(name_key__startswith=folded) | Q(last_name__istartswith=text) | Q(public_id=text)
    for column, beginnings in keys.items():
        for beginning in beginnings:
            found |= Q(**{f"{column}__startswith": beginning})
            aliases = ContactAlias.objects.filter(**{f"{column}__startswith": beginning})
            found |= Q(pk__in=list(aliases.values_list("contact_id", flat=True)[:MANY]))
    return found


def _numbers(text: str) -> list[str]:
    """Phone numbers as they are stored, of a number as people write it; none of other text."""
    digits = "".join(character for character in text if character.isdigit())
    if not digits or any(character.isalpha() for character in text):
        return []
    return [f"+{digits}", digits]
