"""Contacts: list, create, edit, and delete them, with their values and sources."""

from collections.abc import Sequence

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from ninja import Router

from apps.accounts.actors import actor_of
from apps.accounts.models import Role
from apps.contacts.models import Contact, ContactField
from apps.mappings.directory import filters, people, profile
from apps.mappings.edits import InvalidContactValues, set_by_hand

from . import lists
from .endpoints import read, respond, write
from .openapi import Answer, operation
from .parameters import PAGE, contact_parameters
from .schemas import contacts as schemas

router = Router(tags=["Contacts"])
_VALUES = ("invalid_contact_values", "contact_is_gone")


@router.get(
    "",
    **operation(
        "listContacts",
        "List contacts",
        query=[*PAGE, *contact_parameters()],
        answers={200: Answer(schemas.Contacts, "One page of contacts.")},
        refuses=[*lists.CODES, "invalid_filter"],
    ),
)
def many(request: HttpRequest) -> HttpResponse:
    """Filter with the filters of the contacts page. The most recently updated first."""
    params = request.GET.copy()
    for name in (*lists.PARAMETERS, "columns"):
        params.pop(name, None)
    spec = filters.parse(params)
    return lists.answer_together(
        request,
        spec.queryset(),
        order=spec.sort.order,
        page=schemas.Contacts,
        show=lambda found: _shown(found, spec.source.custom),
    )


@router.post(
    "",
    **operation(
        "createContact",
        "Create a contact",
        takes=schemas.ContactRecordIn,
        answers={201: Answer(schemas.ContactRecordSchema, "The new contact.")},
        refuses=[*_VALUES, "contact_without_identity"],
    ),
)
@write(Role.EDITOR)
def create(request: HttpRequest) -> HttpResponse:
    """Needs a phone number or an email that no other contact has."""
    values = _values(read(schemas.ContactRecordIn, request))
    try:
        contact = people.create_contact(values=values, by=actor_of(request))
    except InvalidContactValues as error:
        raise _by_path(error, values) from None
    return _answer(contact, status=201)


@router.get(
    "/{contact_id}",
    **operation(
        "getContact",
        "Get a contact",
        answers={200: Answer(schemas.ContactRecordSchema, "The contact.")},
    ),
)
def one(request: HttpRequest, contact_id: str) -> HttpResponse:
    """With the source of each value."""
    return _answer(_contact(contact_id))


@router.patch(
    "/{contact_id}",
    **operation(
        "editContact",
        "Edit a contact",
        takes=schemas.ContactRecordIn,
        answers={200: Answer(schemas.ContactRecordSchema, "The updated contact.")},
        refuses=_VALUES,
    ),
)
@write(Role.EDITOR)
def edit(request: HttpRequest, contact_id: str) -> HttpResponse:
    """Sets the values you send. Later conversations can replace them."""
    contact = _contact(contact_id)
    values = _values(read(schemas.ContactRecordIn, request))
    try:
        contact = set_by_hand(contact=contact, values=values, by=actor_of(request))
    except InvalidContactValues as error:
        raise _by_path(error, values) from None
    return _answer(contact)


@router.delete(
    "/{contact_id}",
    **operation(
        "deleteContact",
        "Delete a contact",
        answers={204: Answer(None, "Deleted, along with all its values.")},
    ),
)
@write(Role.ADMIN)
def delete(request: HttpRequest, contact_id: str) -> HttpResponse:
    """Its conversations stay, without a contact."""
    people.delete_contact(contact=_contact(contact_id), by=actor_of(request))
    return HttpResponse(status=204)


def _values(body: schemas.ContactRecordIn) -> dict[str, object]:
    given = body.given()
    custom = given.pop("fields_", {})
    if clash := set(custom) & {*profile.BUILT_IN_LABELS}:
        name = min(clash)
        message = f"{name} isn't a custom field. Send it next to fields."
        raise InvalidContactValues(message, {f"fields.{name}": message})
    return {**given, **custom}


def _by_path(error: InvalidContactValues, values: dict[str, object]) -> InvalidContactValues:
    """Return the error with the paths of the body: custom fields are below ``fields``."""
    fields = {
        name if name in profile.BUILT_IN_LABELS else f"fields.{name}": message
        for name, message in error.fields.items()
    }
    return InvalidContactValues(error.message, fields)


def _contact(contact_id: str) -> Contact:
    return get_object_or_404(Contact, public_id=contact_id)


def _answer(contact: Contact, status: int = 200) -> HttpResponse:
    (shown,) = _shown([contact], list(ContactField.objects.all()))
    return respond(shown, status)


def _shown(
    contacts: Sequence[Contact], custom: Sequence[ContactField]
) -> list[schemas.ContactRecordSchema]:
    names = {field.name for field in custom}
    lines = profile.lines_of_many(contacts, custom)
    return [
        schemas.ContactRecordSchema.from_contact(
            contact, {line.name: line for line in lines[contact.pk] if line.name in names}
        )
        for contact in contacts
    ]
