"""An operator's schema as a provider's strict mode takes it.

Strict mode wants every property required, no additional ones, and a small set of keywords. What
it lacks is left out here, told to the model in words where that helps, and checked afterward
against the operator's original, which alone decides.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from hashlib import sha256
from urllib.parse import unquote

from apps.llm.schema.descriptions import SENT_FORMATS, describe
from apps.llm.schema.grammar import grammar
from apps.llm.schema.json_text import Problem, SchemaError
from apps.llm.schema.merge import NUMBER_KEYWORDS, impossible, merge, types_of_choices
from apps.llm.schema.nodes import IN_PLACE, Node, escape, list_of, mapping_of, names_of, resolve
from apps.llm.schema.nulls import allow_nulls
from apps.llm.schema.roots import OWN_SCHEMA, flat_root
from apps.llm.schema.rules import is_number
from apps.llm.schema.subschemas import MAX_DEPTH, TOO_LARGE, Located, Place, Places, nodes_of
from apps.llm.schema.unions import nullable, union

_WORDS = ("title", "description", "$comment", "examples", "default", "deprecated", "readOnly",
          "writeOnly", "$defs", "definitions")  # fmt: skip
_NAME = "analysis"


@dataclass(frozen=True)
class CompiledSchema:
    """A schema ready to be sent.

    ``closed`` is false where the original asks for an object whose names are not known before (a
    map): strict mode cannot express that, so the client begins with a tool call.
    """

    original: Mapping[str, object] = field(repr=False)
    schema: Node = field(repr=False)
    closed: bool = True
    name: str = _NAME
    required_names: frozenset[str] = frozenset()

    @cached_property
    def text(self) -> str:
        """Return the compiled schema as JSON, the same bytes for the same original."""
        return json.dumps(self.schema, ensure_ascii=False, separators=(",", ":"))

    @cached_property
    def sha256(self) -> str:
        return sha256(self.text.encode()).hexdigest()

    @cached_property
    def strict_parameters(self) -> bytes:
        """``response_format`` of a request in strict mode, as members of its body."""
        shape = {"name": self.name, "strict": True, "schema": self.schema}
        return _members({"response_format": {"type": "json_schema", "json_schema": shape}})

    @cached_property
    def grammar_parameters(self) -> bytes:
        """Return the ``grammar`` of a request to llama.cpp, as members of its body."""
        measured = _Compiler(dict(self.original), lengths=True).root(self.required_names)
        return _members({"grammar": grammar(measured)})

    @cached_property
    def tool_parameters(self) -> bytes:
        """Return a forced tool call with this schema, as members of a request's body."""
        described = {"name": self.name, "description": "Record the analysis."}
        function = {**described, "parameters": self.schema}
        chosen = {"type": "function", "function": {"name": self.name}}
        return _members(
            {"tools": [{"type": "function", "function": function}], "tool_choice": chosen}
        )

    @cached_property
    def instruction(self) -> str:
        """Return the schema in words, for servers that only promise *some* JSON."""
        return (
            "Answer with one JSON object and nothing else. It must fit this JSON Schema; use null "
            f"for what does not apply:\n{self.text}"
        )


def _members(value: dict[str, object]) -> bytes:
    """Return an object as JSON without its braces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))[1:-1].encode()


def compile_strict(
    schema: Mapping[str, object], required_names: Collection[str] = ()
) -> CompiledSchema:
    """Compile an operator's schema, built-ins included, for strict mode.

    ``required_names`` are the root fields that the model must fill in (the required built-in
    categories); every other root field may come back null. The order of names is preserved and the
    result is byte-stable. Expects a schema without ``problems``; raises ``SchemaError`` where it
    cannot be expressed. Results are cached by content.
    """
    return _compiled(json.dumps(schema, ensure_ascii=False), frozenset(required_names))


@lru_cache(maxsize=256)
def _compiled(text: str, required_names: frozenset[str]) -> CompiledSchema:
    original = allow_nulls(json.loads(text))
    compiler = _Compiler(original)
    compiled = compiler.root(required_names)
    return CompiledSchema(original, compiled, compiler.closed, required_names=required_names)


class _Compiler:
    def __init__(self, schema: Node, *, lengths: bool = False) -> None:
        own = schema.get(OWN_SCHEMA)
        self.own: Node = own if isinstance(own, dict) else schema
        self.flat = schema if own is not None else flat_root(schema)
        self.lengths = lengths  # strict mode has no keyword for them; a grammar does
        self.closed = True
        self._places = Places(self.own)
        self._names: dict[str, str] = {}
        self._definitions: dict[str, Node] = {}
        self._waiting: list[tuple[str, str]] = []
        self._open: dict[tuple[object, ...], str] = {}

    def root(self, required_names: frozenset[str]) -> Node:
        compiled: Node = {"type": "object"}
        described = self._places.gather([Located(self.own, "")], "").nodes
        if text := describe(nodes_of(described), conditional=False, whole=True):
            compiled["description"] = text
        required = names_of(self.flat.get("required"))
        fields: Node = {}
        for name, schema in mapping_of(self.flat.get("properties")).items():
            if schema is not False:
                here = Located(schema, f"/properties/{escape(name)}")
                fields[name] = self._field(
                    [here], full=name in required_names, asked=name in required
                )
        for name in required:
            if name not in mapping_of(self.flat.get("properties")):
                fields[name] = self._field([], full=name in required_names, asked=True)
        compiled |= _closed_object(fields)
        while self._waiting:
            name, ref = self._waiting.pop(0)
            target = Located(resolve(self.own, ref), ref.removeprefix("#"))
            self._definitions[name] = self._value([target], target.pointer)
        if self._definitions:
            compiled["$defs"] = {name: self._definitions[name] for name in self._in_order()}
        return compiled

    def _in_order(self) -> list[str]:
        """Return definitions in the order of the original; hoisted places follow."""
        order = {
            f"#/{keyword}/{escape(name)}": index
            for keyword in ("$defs", "definitions")
            for index, name in enumerate(mapping_of(self.own.get(keyword)))
        }
        refs = sorted(self._names, key=lambda ref: (order.get(unquote(ref), len(order)), ref))
        listed = [self._names[ref] for ref in refs]
        return [*listed, *(name for name in self._definitions if name not in listed)]

    def _field(self, schemas: Sequence[Located], *, full: bool, asked: bool) -> Node:
        pointer = schemas[0].pointer if schemas else ""
        compiled = self._value(schemas, pointer, conditional=not asked)
        return compiled if full else nullable(compiled)

    def _value(
        self, schemas: Sequence[Located], pointer: str, *, conditional: bool = False
    ) -> Node:
        """Return the schema to send for a value that all of these schemas judge."""
        unique = {id(item.schema): item for item in schemas if item.schema is not True}
        only = next(iter(unique.values())).schema if len(unique) == 1 else None
        if isinstance(only, dict) and _is_plain_reference(only):
            text = describe([only], conditional=conditional)
            compiled: Node = {"$ref": f"#/$defs/{escape(self._definition(str(only['$ref'])))}"}
            return {"description": text, "anyOf": [compiled]} if text else compiled
        place = self._places.gather(unique.values(), pointer)
        return self._place(place, place.nodes, conditional=conditional)

    def _place(
        self, place: Place, described: Sequence[Located], *, conditional: bool = False
    ) -> Node:
        if place.key in self._open:  # recursion through merged schemas gets a name of its own
            name = self._open[place.key] or self._free_name(place.pointer)
            self._open[place.key] = name
            return {"$ref": f"#/$defs/{escape(name)}"}
        if len(self._open) > MAX_DEPTH:
            raise SchemaError([Problem("", TOO_LARGE)])
        self._open[place.key] = ""
        try:
            compiled = self._alternatives(place) if place.choices else self._shape(place)
        finally:
            name = self._open.pop(place.key)
        if name:
            self._definitions[name] = compiled
            compiled = {"$ref": f"#/$defs/{escape(name)}"}
        return _with_description(compiled, describe(nodes_of(described), conditional=conditional))

    def _alternatives(self, place: Place) -> Node:
        """Return the branches of the first choice, each with all that is certain."""
        bare = len(place.choices) == 1 and not place.maybe and not any(
            set(node) - {*_WORDS, *IN_PLACE} - {key for key in node if key.startswith("x-")}
            for node in nodes_of(place.nodes)
        )  # fmt: skip
        shapes: list[Node] = []
        for branch in place.choices[0]:
            if bare:
                shapes.append(self._value([branch], branch.pointer))
                continue
            known = {id(node.schema) for node in place.nodes}
            try:
                joined = self._places.join(place, branch)
                added = [node for node in joined.nodes if id(node.schema) not in known]
                shapes.append(self._place(joined, added))
            except SchemaError as error:
                if error.problems[0].message == TOO_LARGE:
                    raise
        if not shapes:
            raise impossible(place, "none of its alternatives fits the rest")
        return union(shapes)

    def _shape(self, place: Place) -> Node:
        node = merge(place)
        if "enum" in node:
            return self._choices(list_of(node["enum"]))
        types = names_of(node["type"])
        plain = [name for name in types if name not in ("object", "array")]
        if len(types) > 1 and (len(plain) < len(types) - 1 or (plain and plain != ["null"])):
            if len(plain) == len(types):
                return {"type": plain, **self._keywords(node, plain, place)}
            return {
                "anyOf": [{"type": name, **self._keywords(node, [name], place)} for name in types]
            }
        kind: object = types[0] if len(types) == 1 else types
        return {"type": kind, **self._keywords(node, types, place)}

    def _choices(self, values: list[object]) -> Node:
        if any(isinstance(value, list | dict) for value in values):
            self.closed = False
        types = types_of_choices(values)
        return {"type": types[0] if len(types) == 1 else types, "enum": values}

    def _keywords(self, node: Node, types: list[str], place: Place) -> Node:
        kept: Node = {}
        if "string" in types:
            if "pattern" in node:
                kept["pattern"] = node["pattern"]
            if node.get("format") in SENT_FORMATS:
                kept["format"] = node["format"]
            if self.lengths:
                kept |= {key: node[key] for key in ("minLength", "maxLength") if key in node}
        if "number" in types or "integer" in types:
            kept |= {key: node[key] for key in NUMBER_KEYWORDS if is_number(node.get(key))}
        if "array" in types:
            kept |= {key: node[key] for key in ("minItems", "maxItems") if key in node}
            kept |= self._items(node, place)
        if "object" in types:
            kept |= self._object(place)
        return kept

    def _object(self, place: Place) -> Node:
        found = self._places.fields(place)
        fields: Node = {
            name: self._field(item.schemas, full=item.required, asked=item.required)
            for name, item in found.items()
        }
        forbids = any(n["additionalProperties"] is False for n, _ in _closing(place))
        if not fields and not forbids:
            self.closed = False
            return {"properties": {}, "required": [], "additionalProperties": True}
        return _closed_object(fields)

    def _items(self, node: Node, place: Place) -> Node:
        """``items`` for all items, and the most of them where only the first places may be."""
        rest: list[Located] = []
        first: list[list[Located]] = []
        for schema, pointer in _listing(place):
            places = list_of(schema.get("prefixItems"))
            other = schema.get("items", True)
            for index in range(max(len(places), len(first))):
                if index == len(first):
                    first.append(list(rest))
                inside = index < len(places)
                at = f"{pointer}/prefixItems/{index}" if inside else f"{pointer}/items"
                first[index].append(Located(places[index] if inside else other, at))
            rest.append(Located(other, f"{pointer}/items"))
        end = next((i for i, all_ in enumerate(first) if _is_false(all_)), len(first))
        most: Node = {}
        if end < len(first) or _is_false(rest):
            limit = node.get("maxItems", end)
            most = {"maxItems": min(end, limit) if is_number(limit) else end}
            least = node.get("minItems")
            if is_number(least) and least > end:
                raise impossible(place, f"“minItems” is {least} and only {end} items are allowed")
        shapes = [self._value(schemas, schemas[0].pointer) for schemas in first[:end]]
        if not most and any(isinstance(item.schema, dict) for item in rest):
            shapes.append(self._value(rest, rest[0].pointer))
        if not shapes:
            inner = [Located(n["contains"], f"{p}/contains") for n, p in place.having("contains")]
            shapes = [self._value([] if most else inner[:1], f"{place.pointer}/items")]
        return {**most, "items": shapes[0] if len(shapes) == 1 else union(shapes)}

    def _definition(self, ref: str) -> str:
        """The name under ``$defs`` of what ``ref`` points to; hoisted if it lives elsewhere."""
        if ref not in self._names:
            plain = unquote(ref)
            stem = plain.rpartition("/")[2] if plain.count("/") == 2 else ""
            if not plain.startswith(("#/$defs/", "#/definitions/")) or not stem:
                stem = plain.removeprefix("#/")
            self._names[ref] = self._free_name(stem)
            self._waiting.append((self._names[ref], ref))
        return self._names[ref]

    def _free_name(self, stem: str) -> str:
        """Return a plain name: servers differ in how they read others in a reference."""
        plain = re.sub(r"[^A-Za-z0-9_.-]+", "_", stem.replace("$", "").replace("~1", "_"))
        name = plain.strip("_")[:_NAME_LENGTH] or "root"
        taken = {*self._names.values(), *self._definitions, *self._open.values()}
        stem, number = name, 2
        while name in taken:
            name, number = f"{stem}_{number}", number + 1
        return name


_NAME_LENGTH = 60


def _closed_object(fields: Node) -> Node:
    return {"properties": fields, "required": list(fields), "additionalProperties": False}


def _closing(place: Place) -> Iterator[tuple[Node, str]]:
    return place.having("additionalProperties")


def _listing(place: Place) -> Iterator[tuple[Node, str]]:
    for item in place.nodes:
        if isinstance(item.schema, dict) and (
            "items" in item.schema or "prefixItems" in item.schema
        ):
            yield item.schema, item.pointer


def _is_false(schemas: Sequence[Located]) -> bool:
    return any(item.schema is False for item in schemas)


def _is_plain_reference(node: Node) -> bool:
    others = set(node) - {"$ref", *_WORDS}
    return "$ref" in node and all(keyword.startswith("x-") for keyword in others)


def _with_description(compiled: Node, text: str) -> Node:
    if not text:
        return compiled
    if "$ref" in compiled:
        return {"description": text, "anyOf": [compiled]}
    if "description" in compiled:
        text = f"{text} {compiled['description']}"
    head = {"type": compiled["type"]} if "type" in compiled else {}
    return {**head, "description": text} | {k: v for k, v in compiled.items() if k != "description"}
