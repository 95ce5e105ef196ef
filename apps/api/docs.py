"""Bodies and parameters as the OpenAPI page shows them."""

from typing import Any


def _body(schema: dict[str, Any], kind: str = "application/json") -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": {kind: {"schema": schema}}}}


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required}


_TEXT = {"type": "string"}
_ANY = {"type": "object", "additionalProperties": True}
_CHANNEL = {"type": "string", "enum": ["voice", "chat"]}
_MESSAGE = _object({"role": _TEXT, "content": _TEXT, "at": {"type": ["string", "null"]}}, ["role"])

_CONVERSATION = _object(
    {
        "agent_id": _TEXT,
        "channel": _CHANNEL,
        "messages": {"type": "array", "items": _MESSAGE},
        "external_id": _TEXT,
        "source": _TEXT,
        "status": {
            "type": "string",
            "enum": ["registered", "ongoing", "ended", "not_connected", "error"],
        },
        "started_at": {"type": "string", "format": "date-time"},
        "metadata": _ANY,
        "analysis": _ANY,
    },
    ["agent_id", "channel", "messages"],
)
CONVERSATION = _body(_CONVERSATION)
BULK = _body(_TEXT, "application/x-ndjson")
RERUN = _body(_object({"version": {"type": "integer"}, "side_effects": _ANY}, []))
AGENT = _body(_object({"name": _TEXT, "channel": _CHANNEL}, ["name", "channel"]))
DRAFT = _body(_object({"analysis": _ANY, "post_analysis": _ANY}, []))
PUBLISH = _body(_object({"title": _TEXT, "note": _TEXT}, []))
BACKFILL = _body(
    _object(
        {
            "channel": _CHANNEL,
            "filters": _ANY,
            "sample": _object({"count": {"type": "integer"}, "percent": {"type": "number"}}, []),
            "include_analyzed": {"type": "boolean"},
            "side_effects": _ANY,
            "token": _TEXT,
        },
        ["channel"],
    )
)


def _parameter(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": _TEXT}


_PAGE = [
    _parameter("limit", "1 to 1000, 50 unless told."),
    _parameter("cursor", "The next_cursor of the page before."),
    _parameter("include_total", "true: also count all."),
]
FILTERS = {
    "parameters": [
        *_PAGE,
        _parameter("channel", "voice or chat."),
        _parameter("sort", "A field, with - before it for descending."),
        _parameter("q", "Search in ids, numbers, summaries and transcripts."),
        _parameter("FIELD__OP", "Any filter of the history pages, such as duration_ms__gt=60000."),
    ]
}
ITEMS = {"parameters": [*_PAGE, _parameter("state", "pending, running, done, …")]}
