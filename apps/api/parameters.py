"""Query parameters of the API, as the OpenAPI document describes them."""

from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest

from apps.agents.models import Channel
from apps.conversations.filters import Field, ValueKind
from apps.conversations.filters.registry import static_fields
from apps.core.errors import BadRequest
from apps.core.validation_messages import shown
from apps.mappings.directory.filters import STATIC

from .lists import DEFAULT_LIMIT, MAX_LIMIT

Json = dict[str, Any]


def parameter(
    name: str, description: str, closed: Sequence[str] = (), *, schema: Json | None = None
) -> Json:
    """Return an optional query parameter; ``closed`` lists its values, where it has a list."""
    found: Json = schema or {"type": "string"}
    if closed:
        found = {"type": "string", "enum": list(closed)}
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": description,
        "schema": found,
    }


def chosen(request: HttpRequest, name: str, closed: Sequence[str]) -> str:
    """Return the value of a parameter with a closed list, empty where it isn't given.

    Raises BadRequest for any other value.
    """
    value = request.GET.get(name, "")
    if value and value not in closed:
        message = f"{name} must be one of {', '.join(closed)}, not {shown(value)}."
        raise BadRequest(message, {name: message})
    return value


PAGE = [
    parameter(
        "limit",
        "Maximum number of results.",
        schema={
            "type": "integer",
            "minimum": 1,
            "maximum": MAX_LIMIT,
            "default": DEFAULT_LIMIT,
        },
    ),
    parameter(
        "cursor",
        "The `next_cursor` from the previous page. Don't change the other parameters.",
        schema={"type": "string", "minLength": 1},
    ),
    parameter(
        "include_total",
        "Whether to count all results, as `total`.",
        schema={"type": "boolean", "default": False},
    ),
]


_VALUES: dict[ValueKind, Json] = {
    ValueKind.NUMBER: {"type": "number"},
    ValueKind.TIME: {
        "type": "string",
        "pattern": r"^\d{4}-\d{2}-\d{2}",
        "examples": ["2025-01-31"],
    },
    ValueKind.YES_NO: {"type": "boolean"},
}


def filter_parameters() -> list[Json]:
    """Return every field of the filters, and the forms that take a key or an operator."""
    fields = static_fields(None).values()
    return [
        parameter("channel", "Only calls or only chats.", Channel.values),
        parameter(
            "sort",
            "Field to sort by; prefix with `-` for descending. Default: newest first. Only "
            "`started_at` and `id` keep each row in its place: while analyses run, pages of "
            "another order may repeat or miss rows (`stable_order` is then false).",
            [order for f in fields if f.sort for order in (f.name, f"-{f.name}")],
        ),
        parameter("q", "Search in ids, numbers, summaries and transcripts."),
        *(_of_field(field) for field in fields),
        {
            "name": "filters",
            "in": "query",
            "required": False,
            "style": "form",
            "explode": True,
            "description": "Fields with an operator, `FIELD__OP=VALUE` (`duration_ms__gt=60000`, "
            "`started_at__between=2025-01-01,2025-01-31`), and those of schemas and "
            "keys: `analysis.NAME`, `metadata.KEY`, `var.KEY`. All filters must match; of those "
            "with the same prefix, `any1.` to `any9.`, at least one.",
            "schema": {"type": "object", "additionalProperties": {"type": "string"}},
            "example": {"duration_ms__gt": "60000"},
        },
    ]


def contact_parameters() -> list[Json]:
    """Return every filter of contacts, and the form that takes a custom field or an operator."""
    fields = STATIC.values()
    return [
        parameter(
            "sort",
            "Field to sort by; prefix with `-` for descending. Default: `-updated_at`.",
            [order for f in fields if f.sort for order in (f.name, f"-{f.name}")],
        ),
        parameter("q", "Names, phone numbers and emails that start with this."),
        *(_of_field(field) for field in fields),
        {
            "name": "filters",
            "in": "query",
            "required": False,
            "style": "form",
            "explode": True,
            "description": "Custom fields, `fields.NAME=VALUE`, and fields with an operator, "
            "`fields.NAME__OP=VALUE`. All filters must match.",
            "schema": {"type": "object", "additionalProperties": {"type": "string"}},
            "example": {"email__isset": "true"},
        },
    ]


def _of_field(field: Field) -> Json:
    values: Json = dict(_VALUES.get(field.kind, {"type": "string", "minLength": 1}))
    if field.choices:
        values = {"type": "string", "enum": [value for value, _ in field.choices]}
    operators = ", ".join(f"`{name}`" for name in field.operators if name)
    said = f"{field.label}. {field.description}".strip()
    return {
        "name": field.name,
        "in": "query",
        "required": False,
        "style": "form",
        "explode": True,
        "description": f"{said} Repeat it for any of several. Operators: {operators}.",
        "schema": {"type": "array", "items": values},
    }
