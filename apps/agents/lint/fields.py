"""Hints about one field, nested ones included."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from apps.agents.documents import Schema
from apps.llm.schema.merge import implied_type
from apps.llm.schema.nodes import escape, walk

from . import names
from .suggestions import Fix, Suggestion, not_required, with_keywords

LONG_DESCRIPTION = 120
"""Words. What several fields share belongs into the analysis prompt, where it is sent once."""
MANY_CHOICES = 25
FEW_WORDS = 3
LIST_END = 10

#: What says that a choice is meant for whatever fits none of the others.
_WAYS_OUT = names.word_set(
    "other others none unknown unclear general misc miscellaneous na not_applicable n/a else "
    "unspecified uncategorized unqualified undetermined"
)
_PLACEHOLDER = re.compile(r"\{\{\s*([^{}]{1,40}?)\s*\}\}")
_LISTED = re.compile(
    r"(?:\bone of|\beither|\bchoose(?: from)?|\boptions(?: are)?|\bvalues(?: are)?)\s*:?\s+"
    r"(?P<list>[^.;()\n]{3,200})|\((?P<within>[^()\n]{3,200})\)",
    re.IGNORECASE,
)
_BETWEEN = re.compile(r"\s*(?:,\s*(?:or|and)\s+|,|/|\||\bor\b)\s*", re.IGNORECASE)
_YES_NO = re.compile(
    r"^\s*whether\b|\byes\s*(?:or|/)\s*no\b|\btrue\s*(?:or|/)\s*false\b", re.IGNORECASE
)
_RANGE = re.compile(
    r"(?<![\d.])(\d{1,4})\s*(?:-|–|to|and|through)\s*(\d{1,4})(?!\d|\.\d)", re.IGNORECASE
)
_HOW_MANY = re.compile(r"\bhow many\b|\bnumber of \w+s\b|\bfrom \d+ to \d+\b", re.IGNORECASE)
_AT_MOST = re.compile(r"\b(?:at most|up to|no more than|maximum|not more than)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FieldAt:
    """A field and where it is; ``parent`` is the pointer of the object that it belongs to."""

    name: str
    path: str
    pointer: str
    parent: str
    schema: Schema
    required: bool

    @property
    def description(self) -> str:
        text = self.schema.get("description")
        return text if isinstance(text, str) else ""

    @property
    def type(self) -> str:
        """Return its type for the model; empty for several types."""
        found = self.schema.get("type", implied_type(self.schema) or "string")
        return found if isinstance(found, str) else ""

    @property
    def choices(self) -> list[str]:
        values = self.schema.get("enum")
        return [v for v in values if isinstance(v, str)] if isinstance(values, list) else []

    @property
    def is_free_text(self) -> bool:
        shaped = ("enum", "const", "format", "pattern", "$ref", "anyOf", "oneOf", "allOf")
        return self.type == "string" and not any(keyword in self.schema for keyword in shaped)

    def hint(self, code: str, message: str, mend: Fix | None = None) -> Suggestion:
        return Suggestion(code, message, self.path, self.pointer, mend=mend)

    def set(self, label: str, drop: tuple[str, ...] = (), **keywords: object) -> Fix:
        """Return a fix that sets some keywords of this field."""
        return Fix(label, with_keywords(self.pointer, drop, **keywords))


def fields_of(schema: Schema) -> Iterator[FieldAt]:
    """Yield every field of a schema in document order, nested ones included."""
    for pointer, node, _level in walk(schema):
        fields = node.get("properties") if isinstance(node, dict) else None
        if not isinstance(node, dict) or not isinstance(fields, dict):
            continue
        required = node.get("required")
        above = [t for t in _tokens(pointer) if t not in {"properties", "items"}]
        for name, value in fields.items():
            if isinstance(value, dict):
                yield FieldAt(
                    name=name,
                    path=".".join([*above, name]),
                    pointer=f"{pointer}/properties/{escape(name)}",
                    parent=pointer,
                    schema=value,
                    required=isinstance(required, list) and name in required,
                )


def field_hints(field: FieldAt) -> Iterator[Suggestion]:
    """Yield what could be better about one field."""
    if "$ref" in field.schema:
        return
    yield from _name_hints(field)
    yield from _description_hints(field)
    if field.is_free_text:
        yield from _text_hints(field)
    yield from _choice_hints(field)
    yield from _number_hints(field)
    yield from _list_hints(field)
    if field.required and field.schema.get("x-condition"):
        mend = Fix("Make it optional", not_required(field.parent, field.name))
        said = "Its condition is ignored because it is required: it must always be filled in."
        yield field.hint("required_condition", said, mend)


def placeholder_in(text: str) -> str:
    """Return the first ``{{name}}`` of a text, or nothing."""
    found = _PLACEHOLDER.search(text)
    return found.group(0) if found else ""


def _name_hints(field: FieldAt) -> Iterator[Suggestion]:
    if names.is_vague(field.name):
        said = "The model reads the name first. Name the content, such as refund_amount."
        yield field.hint("vague_name", said)
    said_first = names.words(field.name)[:2]
    if field.type == "boolean" and names.NEGATIONS & set(said_first):
        said = "For this field, “no” means yes. Ask for the positive instead."
        yield field.hint("negated", said)
    if "type" not in field.schema and not _says_its_type(field.schema):
        mend = field.set("Make it text", type="string")
        yield field.hint("no_type", "Without a type, the model returns text.", mend)


def _says_its_type(schema: Schema) -> bool:
    shaped = ("enum", "const", "$ref", "anyOf", "oneOf", "allOf")
    return implied_type(schema) is not None or any(keyword in schema for keyword in shaped)


def _description_hints(field: FieldAt) -> Iterator[Suggestion]:
    said = field.description.split()
    if not said:
        yield field.hint(
            "no_description", "Add a description. Right now the model sees only the name."
        )
        return
    telling = set(names.words(field.description)) - {"the", "a", "an", "of"}
    if len(said) < FEW_WORDS or telling <= set(names.words(field.name)):
        yield field.hint(
            "thin_description", "Describe what qualifies, and which value to use when it's unclear."
        )
    if len(said) > LONG_DESCRIPTION:
        message = f"{len(said)} words are sent with every conversation. Shorten it to save tokens."
        yield field.hint("long_description", message)
    if found := placeholder_in(field.description):
        yield field.hint(
            "placeholder", f"{found} is sent to the model literally. Replace it or remove it."
        )


def _text_hints(field: FieldAt) -> Iterator[Suggestion]:
    said = names.words(field.name)
    if _YES_NO.search(field.description) or (
        said and (said[0] in names.YES_NO_FIRST or said[-1] in names.YES_NO_LAST)
    ):
        mend = field.set("Make it Yes-no", ("examples", "minLength", "maxLength"), type="boolean")
        message = "As text, “Yes”, “yes, it was”, and “true” are three different values."
        yield field.hint("text_for_yes_no", message, mend)
    elif choices := listed_choices(field.description):
        shown = ", ".join(choices)
        mend = field.set(f"Choices: {shown}", type="string", enum=choices)
        message = (
            f"The description lists the values: {shown}. As choices, you can group and count them."
        )
        yield field.hint("text_for_choices", message, mend)
    elif names.NUMBER & set(said) or _HOW_MANY.search(field.description):
        bounds = _bounds_said(field.description)
        mend = field.set("Make it an integer", ("examples",), type="integer", **bounds)
        message = "As text it can be neither averaged nor compared."
        yield field.hint("text_for_number", message, mend)
    elif names.CATEGORY & set(said[-1:]):
        message = "Free text is hard to filter. Use choices so you can group and count the values."
        yield field.hint("text_for_choices", message)


def listed_choices(description: str) -> list[str]:
    """Return the responses that a description lists, such as “one of: low, high”; else nothing."""
    for found in _LISTED.finditer(description):
        text = found.group("list") or found.group("within")
        parts = [p.strip(" \"'“”‘’`") for p in _BETWEEN.split(text)]
        parts = [part for part in parts if part]
        plain = all(len(p.split()) <= 3 and len(p) <= 40 and ":" not in p for p in parts)
        least = 2 if found.group("list") else 3
        hedged = re.match(r"(?:e\.?g|i\.?e|such as|for example|like)\b", text, re.IGNORECASE)
        if least <= len(parts) <= MANY_CHOICES and plain and not hedged:
            return list(dict.fromkeys(parts))
    return []


def _choice_hints(field: FieldAt) -> Iterator[Suggestion]:
    choices = field.choices
    if not choices:
        return
    if len(choices) == 1 and len(field.schema["enum"]) == 1:
        message = f"“{choices[0]}” is the only possible value. Add choices or remove the field."
        yield field.hint("few_choices", message)
    if len(choices) > MANY_CHOICES:
        message = f"Of {len(choices)} choices, models mix up the rare ones; join some."
        yield field.hint("many_choices", message)
    seen: dict[str, str] = {}
    for choice in choices:
        plain = re.sub(r"[\W_]+", " ", choice).strip().casefold()
        if plain in seen:
            message = f"“{seen[plain]}” and “{choice}” are too similar. Keep one."
            yield field.hint("alike_choices", message)
            break
        seen[plain] = choice
    if len(choices) > 2 and _needs_other(field) and "$ref" not in field.schema:
        mend = field.set("Add “other”", enum=[*field.schema["enum"], "other"])
        message = "Add an “other” choice so the model isn't forced to pick a wrong one."
        yield field.hint("no_other", message, mend)


def _needs_other(field: FieldAt) -> bool:
    """Kinds of things need a way out; the steps of a scale, such as low to high, do not."""
    plain = {re.sub(r"[\W_]+", "_", choice).strip("_").lower() for choice in field.choices}
    if plain & _WAYS_OUT or any(set(p.split("_")) & {"other", "none", "unknown"} for p in plain):
        return False
    kinds = {"topic", "category", "subject", "theme", "type", "reason", "intent", "product",
             "department", "issue", "cause", "language", "disposition"}  # fmt: skip
    return bool(kinds & set(names.words(field.name)))


def _bounds_said(description: str) -> dict[str, Any]:
    found = _RANGE.search(description)
    if not found:
        return {}
    low, high = int(found.group(1)), int(found.group(2))
    return {"minimum": low, "maximum": high} if low < high else {}


def _number_hints(field: FieldAt) -> Iterator[Suggestion]:
    if field.type not in {"integer", "number"} or "enum" in field.schema:
        return
    low = field.schema.get("minimum", field.schema.get("exclusiveMinimum"))
    high = field.schema.get("maximum", field.schema.get("exclusiveMaximum"))
    if low is None and high is None:
        if names.SCORE & set(names.words(field.name)):
            bounds = _bounds_said(field.description)
            label = "From {minimum} to {maximum}".format(**bounds) if bounds else ""
            message = "Set a minimum and maximum so scores are comparable."
            yield field.hint("no_range", message, field.set(label, **bounds) if bounds else None)
    elif low is not None and high is not None and field.description:
        numbers = set(re.findall(r"\d+(?:\.\d+)?", field.description))
        unsaid = [f"{n:g}" for n in (low, high) if f"{n:g}".lstrip("-") not in numbers]
        if unsaid and isinstance(low, int) and isinstance(high, int) and high - low <= 1000:
            message = f"Explain the meaning of {' and '.join(unsaid)} in the description."
            yield field.hint("unexplained_scale", message)


def _list_hints(field: FieldAt) -> Iterator[Suggestion]:
    if field.type != "array" or "maxItems" in field.schema or "prefixItems" in field.schema:
        return
    items = field.schema.get("items")
    if isinstance(items, dict) and "enum" in items:
        return
    if not _AT_MOST.search(field.description):
        mend = field.set(f"At most {LIST_END} items", maxItems=LIST_END)
        message = (
            "Without a limit, a repeating model can fill the list until the response is truncated "
            "and fails."
        )
        yield field.hint("unbounded_list", message, mend)


def _tokens(pointer: str) -> list[str]:
    return [t.replace("~1", "/").replace("~0", "~") for t in pointer.split("/")[1:]]
