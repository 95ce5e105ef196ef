"""Statistics of conversations and of the fields of their analyses."""

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Router

from apps.core.errors import BadRequest
from apps.core.validation_messages import shown
from apps.insights.config_changes import changes_of
from apps.insights.fields import InsightField
from apps.insights.periods import DAYS
from apps.insights.scope import Scope, read_scope
from apps.insights.stats import stats_of
from apps.insights.volume import volume_of

from .endpoints import respond
from .openapi import Answer, operation
from .parameters import filter_parameters, parameter
from .schemas import insights as schemas

router = Router(tags=["Insights"])

_DAY = {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$", "examples": ["2025-01-31"]}
_QUERY = [
    parameter("days", "The last days, today included. Default: 30.", [str(n) for n in DAYS]),
    parameter("from", "First day of the period.", schema=_DAY),
    parameter("to", "Last day of the period. Default: today.", schema=_DAY),
    parameter(
        "clock",
        "By which time conversations count: their start, or the time of their analysis.",
        ["started", "analyzed"],
    ),
    parameter("compare", "Add the numbers of the previous period.", ["previous", "none"]),
    parameter("by", "Field to break the numbers down by: a choice, a yes/no field, or `agent`."),
    {
        "name": "field",
        "in": "query",
        "required": False,
        "style": "form",
        "explode": True,
        "description": "Only these fields. Repeat it for several. Default: all of them.",
        "schema": {"type": "array", "items": {"type": "string", "minLength": 1}},
    },
    *(one for one in filter_parameters() if one["name"] != "sort"),
]


@router.get(
    "",
    **operation(
        "getInsights",
        "Get insights",
        query=_QUERY,
        answers={200: Answer(schemas.Insights, "The statistics.")},
        refuses=["bad_request", "bad_period", "invalid_filter"],
    ),
)
def insights(request: HttpRequest) -> HttpResponse:
    """Statistics of the fields of your schemas, with conversations, failures, and cost. Filter as
    in the history pages. The numbers can be up to a minute old."""
    params = request.GET.copy()
    names = params.pop("field", [])
    scope = read_scope(params, now=timezone.now(), compare="none")
    fields = _fields(scope, names)
    return respond(
        schemas.Insights.from_stats(
            scope,
            volume_of(scope),
            [stats_of(scope, field) for field in fields],
            changes_of(scope),
        )
    )


def _fields(scope: Scope, names: list[str]) -> list[InsightField]:
    """Return the fields that are named, or all. Raises BadRequest for an unknown one."""
    for name in names:
        if name not in scope.fields:
            message = f"No agent has a field named {shown(name)}."
            raise BadRequest(message, {"field": message})
    return [scope.fields[name] for name in dict.fromkeys(names)] or list(scope.fields.values())
