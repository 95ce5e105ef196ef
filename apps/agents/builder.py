"""The field builder's rows and the JSON Schema they represent: the same document, two editors.

Pure functions. ``rows_of`` reads a schema into rows, or says why it cannot be shown in rows;
``schema_of`` writes it back. What a row does not show is taken from the schema that the rows were
made from (``base``), so that a schema that no one edited comes back byte for byte.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

from apps.llm.schema.merge import implied_type

from .documents import EMPTY_SCHEMA, Schema

Kind = Literal["text", "selector", "yes_no", "number", "integer", "list", "date"]

KINDS: dict[Kind, str] = {
    "text": "Text",
    "selector": "Selector",
    "yes_no": "Yes-no",
    "number": "Number",
    "integer": "Integer",
    "list": "List",
    "date": "Date",
}
_TYPES: dict[Kind, Schema] = {
    "text": {"type": "string"},
    "selector": {"type": "string"},
    "yes_no": {"type": "boolean"},
    "number": {"type": "number"},
    "integer": {"type": "integer"},
    "list": {"type": "array"},
    "date": {"type": "string", "format": "date"},
}
_ROOT_KEPT = {"type", "properties", "required", "$schema", "title", "description", "$comment"}
_SHOWN = {"type", "format", "description", "enum", "examples", "minimum", "maximum", "items",
          "minItems", "maxItems", "x-condition"}  # fmt: skip
#: The keywords that a row's minimum and maximum stand for, by its type.
_BOUNDS: dict[Kind, tuple[str, str]] = {
    "number": ("minimum", "maximum"),
    "integer": ("minimum", "maximum"),
    "list": ("minItems", "maxItems"),
}


class NotShowable(ValueError):
    """The schema says more than rows can show. The message names the first such place."""


class RowError(ValueError):
    """A row cannot be read. ``row`` counts from 0, ``part`` is the name in a row."""

    def __init__(self, row: int, part: str, message: str) -> None:
        super().__init__(message)
        self.row = row
        self.part = part
        self.message = message


@dataclass(frozen=True, slots=True)
class BuilderRow:
    """One field, as the builder edits it. Examples are text, whatever the type; the bounds of a
    list are of its number of items.

    In the form, choices and examples are one a line.
    """

    name: str
    kind: Kind = "text"
    description: str = ""
    choices: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    minimum: int | float | None = None
    maximum: int | float | None = None
    required: bool = False
    condition: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the row as JSON for the form."""
        return asdict(self) | {
            "choices": "\n".join(self.choices),
            "examples": "\n".join(self.examples),
            "minimum": _bound_text(self.minimum),
            "maximum": _bound_text(self.maximum),
        }


def _bound_text(bound: float | None) -> str:
    return "" if bound is None else json.dumps(bound)


def rows_of(schema: Mapping[str, Any]) -> list[BuilderRow]:
    """Return the rows of a schema. Raises NotShowable where rows would hide a part of it."""
    for keyword in schema:
        if keyword not in _ROOT_KEPT:
            raise NotShowable(f"“{keyword}” at the top of the schema")
    properties = schema.get("properties", {})
    required = schema.get("required", [])
    if not isinstance(properties, dict) or not isinstance(required, list):
        raise NotShowable("properties or required of the wrong type")
    if stray := [name for name in required if name not in properties]:
        raise NotShowable(f"“required” naming “{stray[0]}”, which is not a field")
    rows = [_row(name, value, name in required) for name, value in properties.items()]
    try:
        again = schema_of(rows, base=schema)
    except RowError as error:  # what nobody could save from the builder either
        raise NotShowable(f"“{rows[error.row].name}”, which contradicts itself") from error
    if _text(again) != _text(schema):
        raise NotShowable("a form of writing that the builder would change")
    return rows


def schema_of(rows: Sequence[BuilderRow], *, base: Mapping[str, Any] = EMPTY_SCHEMA) -> Schema:
    """The schema that rows represent, in their order. Raises RowError for a row that is wrong.

    A field that is the same in ``base`` keeps its form there.
    """
    before = base.get("properties")
    known: Mapping[str, Any] = before if isinstance(before, dict) else {}
    properties: Schema = {}
    for index, row in enumerate(rows):
        if row.name in properties:
            raise RowError(index, "name", f"There is already a field named “{row.name}”.")
        properties[row.name] = _in_known_form(_property(index, row), known.get(row.name))
    required = {row.name for row in rows if row.required}
    return _root(base, properties, required)


def _root(base: Mapping[str, Any], properties: Schema, required: set[str]) -> Schema:
    old = base.get("required")
    order = [name for name in old if name in required] if isinstance(old, list) else []
    order += [name for name in properties if name in required and name not in order]
    typed = {} if base else {"type": "object"}  # one that goes without a type goes on without
    made: Schema = {**base, **typed, "properties": properties}
    if order or "required" in base:
        made["required"] = order
    if not properties and "properties" not in base:
        del made["properties"]
    return made


def _row(name: str, value: object, required: bool) -> BuilderRow:  # noqa: FBT001 (a fact of the row)
    if not isinstance(value, dict):
        raise NotShowable(f"“{name}”, which is not described by an object")
    if unknown := [keyword for keyword in value if keyword not in _SHOWN]:
        raise NotShowable(f"“{unknown[0]}” in the field “{name}”")
    kind = _kind(name, value)
    choices = value.get("enum") or ()
    if kind == "list":
        choices = value["items"].get("enum") or ()
    examples = value.get("examples", [])
    if not isinstance(examples, list):
        raise NotShowable(f"the examples of “{name}”")
    lines = tuple(_example_text(kind, example) for example in examples)
    low, high = _BOUNDS.get(kind, ("minimum", "maximum"))
    if odd := [line for line in (*choices, *lines) if "\n" in line or not line.strip()]:
        raise NotShowable(f"a choice or example of “{name}” that is not one line: {odd[0][:40]!r}")
    return BuilderRow(
        name=name,
        kind=kind,
        description=value.get("description", ""),
        choices=tuple(choices),
        examples=lines,
        minimum=value.get(low),
        maximum=value.get(high),
        required=required,
        condition=value.get("x-condition", ""),
    )


def _kind(name: str, value: Schema) -> Kind:
    """Return the kind of a field whose keywords are all ones that a row shows."""
    has_choices = _is_text_list(value.get("enum"))
    # Without a type it is text for the model, unless another keyword speaks of another type.
    kind = value.get("type", "string" if has_choices or implied_type(value) is None else None)
    if "enum" in value and not (kind == "string" and has_choices):
        raise NotShowable(f"choices of “{name}” that are not all text")
    _refuse_foreign_bounds(name, kind, value)
    if kind == "array":
        if _is_plain_items(value.get("items")) and "format" not in value:
            return "list"
        raise NotShowable(f"the items of the list “{name}”")
    if "items" in value:
        raise NotShowable(f"the items of “{name}”, which is not a list")
    if "format" in value:
        if kind == "string" and value["format"] == "date" and not has_choices:
            return "date"
        raise NotShowable(f"the format of “{name}”")
    if has_choices:
        return "selector"
    plain: dict[object, Kind] = {
        "string": "text",
        "boolean": "yes_no",
        "number": "number",
        "integer": "integer",
    }
    if isinstance(kind, str) and kind in plain:
        return plain[kind]
    raise NotShowable(f"the type of “{name}”")


def _refuse_foreign_bounds(name: str, kind: object, value: Schema) -> None:
    if kind not in ("number", "integer") and ("minimum" in value or "maximum" in value):
        raise NotShowable(f"bounds of “{name}”, which is not a number")
    if kind != "array" and ("minItems" in value or "maxItems" in value):
        raise NotShowable(f"the number of items of “{name}”, which is not a list")


def _is_text_list(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, str) for v in value)


def _is_plain_items(items: object) -> bool:
    if not isinstance(items, dict) or items.get("type") != "string":
        return False
    if set(items) - {"type", "enum"}:
        return False
    return "enum" not in items or _is_text_list(items["enum"])


def _property(index: int, row: BuilderRow) -> Schema:
    made: Schema = dict(_TYPES[row.kind])
    if row.kind == "selector":
        if not row.choices:
            raise RowError(index, "choices", f"“{row.name}” needs at least one choice.")
        made["enum"] = list(row.choices)
    elif row.kind == "list":
        made["items"] = {"type": "string"}
        if row.choices:
            made["items"]["enum"] = list(row.choices)
    if row.description:
        made["description"] = row.description
    if row.examples:
        made["examples"] = [_example(index, row, text) for text in row.examples]
    if row.kind in _BOUNDS:
        made |= _bounds(index, row)
    if row.condition:
        made["x-condition"] = row.condition
    return made


def _bounds(index: int, row: BuilderRow) -> Schema:
    low, high = row.minimum, row.maximum
    if row.kind == "list":
        for part, bound in (("minimum", low), ("maximum", high)):
            if bound is not None and (not isinstance(bound, int) or bound < 0):
                said = f"The {part} of “{row.name}” is a whole number of items, not {bound}."
                raise RowError(index, part, said)
    if low is not None and high is not None and low > high:
        said = f"“{row.name}” has a minimum ({low}) greater than its maximum ({high})."
        raise RowError(index, "minimum", said)
    bounds = zip(_BOUNDS[row.kind], (low, high), strict=True)
    return {keyword: bound for keyword, bound in bounds if bound is not None}


def _example_text(kind: Kind, example: object) -> str:
    """Return an example as a line of text, from which ``_example`` makes the same value again."""
    if isinstance(example, str):
        if kind in {"text", "selector", "date"}:
            return example
    elif kind == "list" and isinstance(example, list) and all(isinstance(v, str) for v in example):
        line = ", ".join(example)
        plain = _items(line) == example and line and "\n" not in line
        return line if plain else json.dumps(example, ensure_ascii=False)
    elif kind == "yes_no" and isinstance(example, bool):
        return "yes" if example else "no"
    elif kind in {"number", "integer"} and isinstance(example, int | float):
        return json.dumps(example)
    raise NotShowable(f"an example that is not of its field's type: {json.dumps(example)[:40]}")


def _example(index: int, row: BuilderRow, text: str) -> object:
    if row.kind in {"text", "selector", "date"}:
        return text
    if row.kind == "list":
        return _items(text)
    try:
        if row.kind == "yes_no":
            return {"yes": True, "true": True, "no": False, "false": False}[text.strip().lower()]
        value = json.loads(text)
    except (KeyError, ValueError, RecursionError):
        value = None
    whole = isinstance(value, int) and not isinstance(value, bool)
    if row.kind == "integer" and whole:
        return value
    if row.kind == "number" and (whole or (isinstance(value, float) and abs(value) < 1e300)):
        return value
    wanted = {"yes_no": "yes or no", "integer": "a whole number"}.get(row.kind, "a number")
    raise RowError(index, "examples", f"“{text[:60]}” isn't an example of {wanted}.")


def _items(text: str) -> list[str]:
    """Return a list written in a line: ``a, b``, or as JSON where an item holds a comma."""
    if text.lstrip().startswith("["):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return cast("list[str]", value)
    return [item.strip() for item in text.split(",") if item.strip()]


def _in_known_form(made: Schema, known: object) -> Schema:
    if not isinstance(known, dict):
        return made
    if "type" not in known and made.get("type") == "string" and "format" not in made:
        made = {key: value for key, value in made.items() if key != "type"}
    if json.dumps(made, sort_keys=True) == json.dumps(known, sort_keys=True):
        return known
    ordered = {key: made[key] for key in known if key in made}
    return ordered | made


def _text(schema: Mapping[str, Any]) -> str:
    return json.dumps(schema, ensure_ascii=False)


def read_rows(value: object) -> list[BuilderRow]:
    """Rows from the form's JSON. Raises RowError; blanks around names and empty lines go."""
    if not isinstance(value, list):
        raise RowError(0, "name", "Couldn't read the fields. Reload the page and try again.")
    return [_read_row(index, item) for index, item in enumerate(value)]


def _read_row(index: int, item: object) -> BuilderRow:
    if not isinstance(item, dict):
        raise RowError(index, "name", "Couldn't read this field. Reload the page and try again.")
    kind = item.get("kind") or "text"
    if kind not in KINDS:
        raise RowError(index, "kind", f"“{kind}” is not a type of field.")
    bounded = kind in _BOUNDS
    return BuilderRow(
        name=_line(item.get("name")).strip(),
        kind=cast("Kind", kind),
        description=_line(item.get("description")),
        choices=tuple(_lines(item.get("choices"))),
        examples=tuple(_lines(item.get("examples"))),
        # What a row of another type hides is not read: nobody could see what is wrong with it.
        minimum=_bound(index, "minimum", item.get("minimum")) if bounded else None,
        maximum=_bound(index, "maximum", item.get("maximum")) if bounded else None,
        required=item.get("required") is True,
        condition=_line(item.get("condition")),
    )


def _line(value: object) -> str:
    text = value if isinstance(value, str) else ""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _lines(value: object) -> list[str]:
    return [line for line in _line(value).split("\n") if line.strip()]


def _bound(index: int, part: str, value: object) -> int | float | None:
    if value is None or value == "":
        return None
    try:
        number = json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        number = None
    if isinstance(number, bool) or not isinstance(number, int | float) or abs(number) > 1e300:
        raise RowError(index, part, f"The {part} must be a number, not “{str(value)[:60]}”.")
    return number
