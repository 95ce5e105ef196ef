"""Derived fields: list, save, delete, and recompute them."""

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from ninja import Router

from apps.accounts.actors import actor_of
from apps.accounts.models import Role
from apps.agents.models import DerivedField
from apps.conversations.derived.definitions import InvalidDerivedField
from apps.conversations.derived.services import (
    NAME,
    delete_derived_field,
    save_derived_field,
)
from apps.runs.derived.services import start_recompute
from apps.runs.derived.work import preview_recompute
from apps.runs.schemas import BackfillSchema

from . import lists
from .endpoints import agent_named, read, respond, write
from .openapi import Answer, operation
from .parameters import PAGE
from .schemas import derived_fields as schemas

router = Router(tags=["Derived fields"])


@router.get(
    "",
    **operation(
        "listDerivedFields",
        "List derived fields",
        query=PAGE,
        answers={200: Answer(schemas.DerivedFields, "One page of derived fields.")},
        refuses=lists.CODES,
    ),
)
def many(request: HttpRequest) -> HttpResponse:
    """By name."""
    lists.only(request)
    return lists.answer(
        request,
        DerivedField.objects.select_related("agent"),
        order=["name", "pk"],
        page=schemas.DerivedFields,
        show=schemas.DerivedFieldSchema.from_field,
    )


@router.put(
    "/{field_name}",
    **operation(
        "saveDerivedField",
        "Save a derived field",
        takes=schemas.DerivedFieldIn,
        answers={200: Answer(schemas.DerivedFieldSchema, "The field as it is stored.")},
        refuses=["invalid_derived_field", "derived_field_changed"],
    ),
)
@write(Role.EDITOR)
def save(request: HttpRequest, field_name: str) -> HttpResponse:
    """Creates the field, or replaces the one of this name. New results have it from now on, past
    ones after a recomputation. A scorecard also adds `NAME_passed` and `NAME_failed`."""
    if not NAME.fullmatch(field_name):
        raise Http404
    body = read(schemas.DerivedFieldIn, request)
    field = save_derived_field(
        name=field_name,
        label=body.label.strip(),
        kind=body.type,
        channel=body.channel,
        agent=agent_named(body.agent_id, error=InvalidDerivedField),
        definition=body.definition(),
        by=actor_of(request),
    )
    return respond(schemas.DerivedFieldSchema.from_field(field))


@router.delete(
    "/{field_name}",
    **operation(
        "deleteDerivedField",
        "Delete a derived field",
        answers={204: Answer(None, "Deleted.")},
    ),
)
@write(Role.EDITOR)
def delete(request: HttpRequest, field_name: str) -> HttpResponse:
    """Past results keep its values."""
    delete_derived_field(field=_field(field_name), by=actor_of(request))
    return HttpResponse(status=204)


@router.post(
    "/{field_name}/recompute",
    **operation(
        "recomputeDerivedField",
        "Recompute a derived field",
        takes=schemas.RecomputeIn,
        answers={
            202: Answer(BackfillSchema, "The run."),
            200: Answer(schemas.RecomputePreviewSchema, "With `preview`: the counts."),
        },
        refuses=[
            *("invalid_derived_field", "invalid_token", "nothing_to_recompute"),
            "preview_outdated",
        ],
    ),
)
@write(Role.EDITOR)
def recompute(request: HttpRequest, field_name: str) -> HttpResponse:
    """Gives past results the values of the current definition. The run asks no model. It is read,
    paused, canceled, and rolled back like a backfill."""
    body = read(schemas.RecomputeIn, request)
    field = _field(field_name)
    if body.preview:
        return respond(schemas.RecomputePreviewSchema.of(preview_recompute(field)))
    run = start_recompute(field=field, by=actor_of(request), token=body.token)
    return respond(BackfillSchema.from_run(run), 202)


def _field(name: str) -> DerivedField:
    return get_object_or_404(
        DerivedField.objects.select_related("agent"), name=name.replace("\0", "")
    )
