"""The field builder: django-jsonform over the rows of ``apps.agents.builder``."""

from typing import Any

from django.utils.safestring import SafeString, mark_safe
from django_jsonform.widgets import JSONFormWidget

from .builder import KINDS

#: What a row of the builder asks for. CSS shows only those parts that the row's type has.
ROWS_SCHEMA: dict[str, Any] = {
    "type": "array",
    "items": {
        "type": "object",
        "title": "Field",
        "keys": {
            "name": {"type": "string", "title": "Name", "placeholder": "topic"},
            "kind": {
                "type": "string",
                "title": "Type",
                "choices": [{"title": title, "value": kind} for kind, title in KINDS.items()],
                "default": "text",
            },
            "required": {"type": "boolean", "title": "Required"},
            "description": {
                "type": "string",
                "title": "Description",
                "widget": "textarea",
                "placeholder": "What the model should put here",
            },
            "choices": {
                "type": "string",
                "title": "Choices",
                "widget": "textarea",
                "placeholder": "One per line",
            },
            "examples": {
                "type": "string",
                "title": "Examples",
                "widget": "textarea",
                "placeholder": "One per line",
            },
            "minimum": {"type": "string", "title": "Minimum"},
            "maximum": {"type": "string", "title": "Maximum"},
            "condition": {
                "type": "string",
                "title": "Only if",
                "widget": "textarea",
                "placeholder": "When this field applies",
            },
        },
    },
}


class BuilderWidget(JSONFormWidget):  # type: ignore[misc]  # the package has no types
    template_name = "agents/_builder.html"


def builder_widget(rows: str, *, editable: bool) -> SafeString:
    """Return the builder's markup over rows as JSON text. Its scripts are in fields.html."""
    widget = BuilderWidget(schema=ROWS_SCHEMA)
    attrs: dict[str, Any] = {"id": "rows"}
    if not editable:
        attrs["disabled"] = True
    # The package escapes the rows into an attribute by Django's own template engine.
    html: str = widget.render("rows", rows, attrs)
    return mark_safe(html)  # noqa: S308
