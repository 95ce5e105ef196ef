"""What a hint is, and how a fix changes a schema."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from apps.agents.documents import Schema

#: What is said over the hints of one kind.
TITLES = {
    "too_many_fields": "Many fields",
    "all_required": "Everything is required",
    "summaries": "More than one summary",
    "same_meaning": "Duplicate names",
    "verdict_first": "Reasoning comes after the verdict",
    "no_description": "No description",
    "thin_description": "Description repeats the name",
    "long_description": "Long description",
    "placeholder": "Unfilled placeholder",
    "vague_name": "Vague name",
    "no_type": "No type",
    "text_for_choices": "Use choices instead of text",
    "text_for_yes_no": "Use yes/no instead of text",
    "text_for_number": "Use a number instead of text",
    "negated": "Negated yes/no field",
    "no_range": "Score without a range",
    "unexplained_scale": "Unexplained scale",
    "no_other": "No “other” choice",
    "many_choices": "Many choices",
    "few_choices": "Only one choice",
    "alike_choices": "Similar choices",
    "required_condition": "Condition on a required field",
    "unbounded_list": "Unbounded list",
    "long_prompt": "Long prompt",
    "empty_column": "Empty history column",
}


@dataclass(frozen=True, slots=True)
class Fix:
    """A change that is safe to offer: it adds no claim of its own and can be read at a glance."""

    label: str
    edit: Callable[[Schema], Schema]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One piece of advice.

    ``place`` is a path in the API's shape as of a fault; ``pointer`` leads into the schema.
    ``field`` is the name for people, of a nested field with the names above it. ``built_in`` is a
    built-in category that could be switched off instead.
    """

    code: str
    message: str
    field: str = ""
    pointer: str = ""
    place: str = "analysis.schema"
    mend: Fix | None = None
    built_in: str = ""

    @property
    def key(self) -> str:
        """Names the hint among those of one draft, for the button that fixes."""
        return f"{self.code}:{self.pointer or self.place}"

    @property
    def title(self) -> str:
        return TITLES[self.code]


def changed(pointer: str, change: Callable[[Schema], Schema]) -> Callable[[Schema], Schema]:
    """An edit of the schema at a pointer: ``change`` gets a copy and returns the new value."""

    def edit(schema: Schema) -> Schema:
        copy: Schema = json.loads(json.dumps(schema))
        *way, last = [t.replace("~1", "/").replace("~0", "~") for t in pointer.split("/")[1:]]
        node: Any = copy
        for token in way:
            node = node[int(token)] if isinstance(node, list) else node[token]
        key = int(last) if isinstance(node, list) else last
        node[key] = change(node[key])
        return copy

    return edit


def with_keywords(
    pointer: str, drop: tuple[str, ...] = (), **keywords: object
) -> Callable[[Schema], Schema]:
    """Return an edit that sets some keywords of a field and drops others."""

    def change(field: Schema) -> Schema:
        kept = {key: value for key, value in field.items() if key not in drop}
        return {**kept, **keywords}

    return changed(pointer, change)


def not_required(pointer: str, name: str) -> Callable[[Schema], Schema]:
    """Return an edit that makes a field of the object at ``pointer`` optional."""

    def change(parent: Schema) -> Schema:
        required = cast("list[str]", parent.get("required") or [])
        return {**parent, "required": [other for other in required if other != name]}

    return changed(pointer, change) if pointer else change


def moved_before(name: str, other: str) -> Callable[[Schema], Schema]:
    """Return an edit that puts a field of the root before another one."""

    def edit(schema: Schema) -> Schema:
        fields = cast("dict[str, object]", schema["properties"])
        order = [key for key in fields if key != name]
        order.insert(order.index(other), name)
        return {**schema, "properties": {key: fields[key] for key in order}}

    return edit
