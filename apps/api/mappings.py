"""Mappings of analysis fields to contact fields: list, create, and delete them."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from ninja import Router

from apps.accounts.actors import actor_of
from apps.accounts.models import Role
from apps.mappings.models import Mapping
from apps.mappings.services import InvalidMapping, delete_mapping, save_mapping

from . import lists
from .endpoints import agent_named, read, respond, write
from .openapi import Answer, operation
from .parameters import PAGE
from .schemas import mappings as schemas

router = Router(tags=["Contacts"])


@router.get(
    "",
    **operation(
        "listMappings",
        "List mappings",
        query=PAGE,
        answers={200: Answer(schemas.Mappings, "One page of mappings.")},
        refuses=lists.CODES,
    ),
)
def many(request: HttpRequest) -> HttpResponse:
    """The newest first."""
    lists.only(request)
    return lists.answer(
        request,
        Mapping.objects.select_related("agent"),
        order=["-pk"],
        page=schemas.Mappings,
        show=schemas.MappingSchema.from_mapping,
    )


@router.post(
    "",
    **operation(
        "createMapping",
        "Create a mapping",
        takes=schemas.MappingIn,
        answers={201: Answer(schemas.MappingSchema, "The new mapping.")},
        refuses=["invalid_mapping", "mapping_exists"],
    ),
)
@write(Role.EDITOR)
def create(request: HttpRequest) -> HttpResponse:
    """Updates contacts from each new result. The mapping of an agent takes precedence over the
    mapping for all agents."""
    body = read(schemas.MappingIn, request)
    mapping = save_mapping(
        agent=agent_named(body.agent_id, error=InvalidMapping),
        analysis_field=body.analysis_field,
        contact_field=body.contact_field,
        mode=body.mode,
        by=actor_of(request),
    )
    return respond(schemas.MappingSchema.from_mapping(mapping), status=201)


@router.delete(
    "/{mapping_id}",
    **operation(
        "deleteMapping",
        "Delete a mapping",
        answers={204: Answer(None, "Deleted.")},
    ),
)
@write(Role.EDITOR)
def delete(request: HttpRequest, mapping_id: str) -> HttpResponse:
    """Contacts keep their values until the next result of each conversation."""
    public_id = mapping_id.replace("\0", "")
    mapping = get_object_or_404(Mapping.objects.select_related("agent"), public_id=public_id)
    delete_mapping(mapping=mapping, by=actor_of(request))
    return HttpResponse(status=204)
