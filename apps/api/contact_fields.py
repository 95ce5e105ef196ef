"""Custom fields of contacts: list and create them."""

from django.http import HttpRequest, HttpResponse
from ninja import Router

from apps.accounts.actors import actor_of
from apps.accounts.models import Role
from apps.contacts.models import ContactField
from apps.contacts.services import create_field

from . import lists
from .endpoints import read, respond, write
from .openapi import Answer, operation
from .parameters import PAGE
from .schemas import contacts as schemas

router = Router(tags=["Contacts"])


@router.get(
    "",
    **operation(
        "listContactFields",
        "List contact fields",
        query=PAGE,
        answers={200: Answer(schemas.ContactFields, "One page of custom fields.")},
        refuses=lists.CODES,
    ),
)
def many(request: HttpRequest) -> HttpResponse:
    """By name."""
    lists.only(request)
    return lists.answer(
        request,
        ContactField.objects.all(),
        order=["name"],
        page=schemas.ContactFields,
        show=schemas.ContactFieldSchema.from_field,
    )


@router.post(
    "",
    **operation(
        "createContactField",
        "Create a contact field",
        takes=schemas.ContactFieldIn,
        answers={201: Answer(schemas.ContactFieldSchema, "The new field.")},
        refuses=["invalid_contact_field", "contact_field_exists"],
    ),
)
@write(Role.EDITOR)
def create(request: HttpRequest) -> HttpResponse:
    """Adds a field to all contacts. Its name and type can't change later."""
    body = read(schemas.ContactFieldIn, request)
    field = create_field(
        name=body.name,
        label=body.label,
        kind=body.type,
        choices=body.choices,
        by=actor_of(request),
    )
    return respond(schemas.ContactFieldSchema.from_field(field), status=201)
