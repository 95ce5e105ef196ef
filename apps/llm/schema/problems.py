"""What keeps a schema from being used, each in one message at its place."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

from apps.llm.schema import json_text
from apps.llm.schema.json_text import Problem, SchemaError
from apps.llm.schema.keywords import keyword_problems
from apps.llm.schema.merge import implied_type
from apps.llm.schema.nodes import IN_PLACE, children, escape, resolve, walk
from apps.llm.schema.patterns import PatternError, compile_pattern
from apps.llm.schema.roots import is_composed
from apps.llm.schema.rules import node_problem, show
from apps.llm.schema.strict import compile_strict
from apps.llm.schema.subschemas import TOO_LARGE, Located, Places

MAX_PROPERTIES = 5_000
MAX_LEVELS = 10
MAX_CHOICES = 1_000
MAX_NAME_CHARACTERS = 120_000
MAX_NAME_LENGTH = 200
MAX_LONG_CHOICES = (250, 15_000)
MAX_PROBLEMS = 50
MAX_SENT_CHARACTERS = 1_000_000
"""Of a schema as it is sent, its references and alternatives written out."""


def problems(source: str | Mapping[str, object]) -> list[Problem]:
    """Return all that blocks a schema given as JSON text or as a value; an empty list is *usable*.

    Places carry line and column where ``source`` is text. At most ``MAX_PROBLEMS`` are reported.
    Never raises for any input, never fetches anything, and returns within a fraction of a second
    for schemas beyond the limits.
    """
    if isinstance(source, str):
        value, found = json_text.parse(source)
        found = found or _schema_problems(value)
        return json_text.locate(source, found[:MAX_PROBLEMS])
    schema = dict(source)
    found = json_text.value_problems(schema) or json_text.size_problems(schema)
    return (found or _schema_problems(schema))[:MAX_PROBLEMS]


def _schema_problems(schema: object) -> list[Problem]:
    if not isinstance(schema, dict):
        return [Problem("", f"The schema must be a JSON object, not {_kind(schema)}.")]
    if not is_composed(schema) and (found := _type_problems(schema)):
        return found
    found = _limit_problems(schema) or _first_of_each_place(_node_problems(schema))
    found = found or _circle_problems(schema)
    try:
        found = found or _root_problems(schema)
        return found or _sent_problems(compile_strict(schema).schema)
    except SchemaError as error:
        return error.problems


def _type_problems(schema: dict[str, object]) -> list[Problem]:
    if "type" not in schema and implied_type(schema) != "object":
        return [Problem("", "The schema needs “type”: “object” at its top, with “properties”.")]
    if schema.get("type", "object") != "object":
        return [
            Problem("/type", f"The schema's “type” must be “object”, not {show(schema['type'])}.")
        ]
    return []


def _root_problems(schema: dict[str, object]) -> list[Problem]:
    """Return whether a top that is put together from parts is an object in every case."""
    if not is_composed(schema):
        return []
    places = Places(schema)
    whole = places.gather([Located(schema, "")], "")
    branches = [branch for branches in whole.choices for branch in branches]
    nodes = list(whole.nodes)
    for branch in branches:
        nodes += places.gather([branch], branch.pointer).nodes
    is_object = False
    for item in nodes:
        node = item.schema if isinstance(item.schema, dict) else {}
        kind = node.get("type", implied_type(node))
        is_object = is_object or kind == "object"
        if "type" in node and kind != "object":
            said = f"The top of the schema must be an object in every case, not {show(kind)}."
            return [Problem(f"{item.pointer}/type", said)]
    return [] if is_object else _type_problems({})


def _sent_problems(sent: dict[str, object]) -> list[Problem]:
    """Return the provider's limits again, once references and alternatives are written out."""
    if len(json.dumps(sent, ensure_ascii=False)) > MAX_SENT_CHARACTERS:
        return [Problem("", TOO_LARGE)]
    found = _limit_problems(sent)
    return [Problem("", f"As it is sent: {problem.message}") for problem in found]


def _first_of_each_place(found: Iterable[Problem]) -> list[Problem]:
    places: dict[str, Problem] = {}
    for problem in found:
        places.setdefault(problem.pointer, problem)
    return list(places.values())


def _kind(value: object) -> str:
    if isinstance(value, list):
        return "a list"
    return f"the value {show(value)}"


def _limit_problems(schema: dict[str, object]) -> list[Problem]:
    """Return the provider's limits, checked before anything that takes time per field."""
    fields = choices = characters = 0
    for pointer, node, level in walk(schema):
        if level > MAX_LEVELS:
            return [Problem(pointer, f"Nested too deeply (maximum {MAX_LEVELS} levels).")]
        if not isinstance(node, dict):
            continue
        for keyword in ("properties", "$defs", "definitions"):
            names = node.get(keyword)
            if isinstance(names, dict):
                fields += len(names) if keyword == "properties" else 0
                characters += sum(map(len, names))
        enum = node.get("enum")
        if isinstance(enum, list):
            choices += sum(value is not None for value in enum)
            length = sum(len(value) for value in enum if isinstance(value, str))
            characters += length
            if len(enum) > MAX_LONG_CHOICES[0] and length > MAX_LONG_CHOICES[1]:
                return [
                    Problem(
                        f"{pointer}/enum",
                        f"These {len(enum):,} choices have {length:,} characters. "
                        f"The maximum for a long list is {MAX_LONG_CHOICES[1]:,}.",
                    )
                ]
    for count, most, what in (
        (fields, MAX_PROPERTIES, "fields"),
        (choices, MAX_CHOICES, "choices"),
        (characters, MAX_NAME_CHARACTERS, "characters in its names and choices"),
    ):
        if count > most:
            return [Problem("", f"The schema has {count:,} {what}. The maximum is {most:,}.")]
    return []


def _node_problems(schema: dict[str, object]) -> Iterator[Problem]:
    for pointer, node, _level in walk(schema):
        if isinstance(node, bool):
            continue
        if not isinstance(node, dict):
            yield Problem(pointer, f"A schema here must be an object, not {show(node)}.")
            continue
        if fault := node_problem(node):
            yield Problem(f"{pointer}/{escape(fault[0])}", fault[1])
            continue
        for keyword, reason in keyword_problems(node):
            yield Problem(f"{pointer}/{escape(keyword)}" if keyword else pointer, reason)
        yield from _name_problems(node, pointer)
        yield from _pattern_problems(node, pointer)
        yield from _reference_problems(schema, node, pointer)


def _name_problems(node: dict[str, object], pointer: str) -> Iterator[Problem]:
    fields = node.get("properties")
    if not isinstance(fields, dict):
        return
    for name in fields:
        place = f"{pointer}/properties/{escape(name)}"
        if not name.strip():
            yield Problem(place, "A field has no name.")
        elif len(name) > MAX_NAME_LENGTH:
            yield Problem(
                place, f"The name {show(name)} has more than {MAX_NAME_LENGTH} characters."
            )
        elif not name.isprintable():
            yield Problem(place, f"The name {show(name)} holds a character that cannot be seen.")


def _pattern_problems(node: dict[str, object], pointer: str) -> Iterator[Problem]:
    patterns = [("pattern", node["pattern"])] if "pattern" in node else []
    named = node.get("patternProperties")
    if isinstance(named, dict):
        patterns += [(f"patternProperties/{escape(key)}", key) for key in named]
        if "unevaluatedProperties" in node:
            yield Problem(
                f"{pointer}/unevaluatedProperties",
                "“unevaluatedProperties” cannot be used together with “patternProperties”; "
                "use “additionalProperties”.",
            )
    for suffix, pattern in patterns:
        try:
            compile_pattern(str(pattern))
        except PatternError as error:
            yield Problem(f"{pointer}/{suffix}", str(error))


def _reference_problems(
    root: dict[str, object], node: dict[str, object], pointer: str
) -> Iterator[Problem]:
    if pointer and "$id" in node:
        yield Problem(f"{pointer}/$id", "“$id” is only allowed at the top of the schema.")
    ref = node.get("$ref")
    if not isinstance(ref, str):
        return
    place = f"{pointer}/$ref"
    if not ref.startswith("#"):
        yield Problem(
            place,
            f"{show(ref)} points outside of this schema and is never fetched; "
            "copy the definition under “$defs” and refer to it as “#/$defs/NAME”.",
        )
        return
    try:
        target = resolve(root, ref)
    except LookupError:
        said = f"{show(ref)} points to nothing in this schema"
        if not ref.startswith("#/"):
            said += ": anchors are not supported, so refer to a path, as “#/$defs/NAME”"
        yield Problem(place, f"{said}.")
        return
    if not isinstance(target, dict | bool):
        yield Problem(place, f"{show(ref)} doesn't point to a schema.")


def _circle_problems(root: dict[str, object]) -> list[Problem]:
    """References that lead back to themselves without a field in between: nothing could fit."""
    done: set[int] = set()
    for pointer, node, _level in walk(root):
        if not isinstance(node, dict) or id(node) in done:
            continue
        path: set[int] = set()
        stack: list[tuple[dict[str, object], bool]] = [(node, False)]
        while stack:
            current, leaving = stack.pop()
            if leaving:
                path.discard(id(current))
                done.add(id(current))
                continue
            if id(current) in path:
                return [Problem(pointer, "This definition only refers to itself.")]
            if id(current) in done:
                continue
            path.add(id(current))
            stack.append((current, True))
            stack.extend((child, False) for child in _in_place(root, current))
    return []


def _in_place(root: dict[str, object], node: dict[str, object]) -> list[dict[str, object]]:
    """Return the schemas that judge the same value as this one."""
    found = [child for keyword, _, child in children(node) if keyword in IN_PLACE]
    ref = node.get("$ref")
    if isinstance(ref, str):
        found.append(resolve(root, ref))
    return [child for child in found if isinstance(child, dict)]
