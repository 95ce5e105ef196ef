"""Apply mappings to past analyses."""

from django.http import HttpRequest, HttpResponse
from ninja import Router

from apps.accounts.actors import actor_of
from apps.accounts.models import Role
from apps.conversations import filters
from apps.core.errors import BadRequest
from apps.runs.mappings.services import start_mapping_run
from apps.runs.mappings.work import estimate_summaries, preview_mappings
from apps.runs.schemas import BackfillSchema

from .endpoints import read, respond, write
from .openapi import Answer, operation
from .schemas import mapping_runs as schemas

router = Router(tags=["Backfills"])


@router.post(
    "/apply",
    **operation(
        "applyMappings",
        "Apply mappings to past analyses",
        takes=schemas.ApplyIn,
        answers={
            202: Answer(BackfillSchema, "The run."),
            200: Answer(schemas.ApplyPreview, "With `preview`: the counts."),
        },
        refuses=["invalid_filter", "invalid_token", "nothing_to_apply", "preview_outdated"],
    ),
)
@write(Role.EDITOR)
def apply(request: HttpRequest) -> HttpResponse:
    """Applies the current mappings to the current results of all matching conversations with a
    contact. The run asks no model. A model then combines texts that accumulate in a field,
    for which `preview` has an estimate. The run is read, paused, and canceled like a backfill."""
    body = read(schemas.ApplyIn, request)
    for name in ("sort", "columns"):
        if name in body.filters:
            raise BadRequest(f"{name} is not a filter.", {name: "Not a filter."})
    params = filters.parse(body.channel, body.filters).as_params()
    if body.preview:
        preview = preview_mappings(body.channel, params)
        return respond(schemas.ApplyPreview.of(preview, estimate_summaries(preview)))
    run = start_mapping_run(
        channel=body.channel, params=params, by=actor_of(request), token=body.token
    )
    return respond(BackfillSchema.from_run(run), 202)
