"""An operator's schema as a provider's strict mode takes it (facts, *Structured output*).

Strict mode wants every property required, no additional ones, and a small set of keywords. What
it lacks is left out here, told to the model in words where that helps, and checked afterwards
against the operator's original, which alone decides.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256

from apps.llm.schema.descriptions import describe
from apps.llm.schema.grammar import grammar
from apps.llm.schema.json_text import Problem, SchemaError
from apps.llm.schema.merge import merge_all_of, merge_root
from apps.llm.schema.nodes import Node, escape, resolve
from apps.llm.schema.rules import is_number

FORMATS = frozenset(
    ("date", "time", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "uuid")
)
_NUMBER_KEYWORDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_IMPLIED_TYPES = (
    (("properties", "required", "additionalProperties", "patternProperties"), "object"),
    (("dependentRequired", "dependentSchemas", "minProperties", "maxProperties"), "object"),
    (("items", "prefixItems", "minItems", "maxItems", "uniqueItems", "contains"), "array"),
    (_NUMBER_KEYWORDS, "number"),
)
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
        """The compiled schema as JSON, the same bytes for the same original."""
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
        """A forced tool call with this schema, as members of a request's body."""
        described = {"name": self.name, "description": "Record the analysis."}
        function = {**described, "parameters": self.schema}
        chosen = {"type": "function", "function": {"name": self.name}}
        return _members(
            {"tools": [{"type": "function", "function": function}], "tool_choice": chosen}
        )

    @cached_property
    def instruction(self) -> str:
        """The schema in words, for servers that only promise *some* JSON."""
        return (
            "Answer with one JSON object and nothing else. It must fit this JSON Schema; use null "
            f"for what does not apply:\n{self.text}"
        )


def _members(value: dict[str, object]) -> bytes:
    """An object as JSON without its braces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))[1:-1].encode()


_cache: OrderedDict[tuple[str, tuple[str, ...]], CompiledSchema] = OrderedDict()
_CACHE_SIZE = 256


def compile_strict(
    schema: Mapping[str, object], required_names: Collection[str] = ()
) -> CompiledSchema:
    """Compile an operator's schema, built-ins included, for strict mode.

    ``required_names`` are the root fields that the model must fill in (the required built-in
    categories); every other root field may come back null (product 3.3). The order of names is
    kept and the result is byte-stable. Expects a schema without ``problems``; raises
    ``SchemaError`` where it cannot be expressed. Results are cached by content.
    """
    key = (json.dumps(schema, ensure_ascii=False), tuple(sorted(required_names)))
    compiled = _cache.get(key)
    if compiled is None:
        original = json.loads(key[0])
        compiler = _Compiler(original)
        names = frozenset(required_names)
        compiled = CompiledSchema(
            original, compiler.root(names), compiler.closed, required_names=names
        )
        _cache[key] = compiled
        if len(_cache) > _CACHE_SIZE:
            _cache.popitem(last=False)
    else:
        _cache.move_to_end(key)
    return compiled


class _Compiler:
    def __init__(self, schema: Node, *, lengths: bool = False) -> None:
        self.original = schema
        self.lengths = lengths  # strict mode has no keyword for them; a grammar does
        self.closed = True
        self._names: dict[str, str] = {}
        self._definitions: dict[str, Node] = {}
        self._waiting: list[tuple[str, str]] = []

    def root(self, required_names: frozenset[str]) -> Node:
        node = merge_root(self.original)
        compiled: Node = {"type": "object"}
        if text := describe(node, conditional=False):
            compiled["description"] = text
        compiled |= self._fields(node, "", never_null=required_names)
        while self._waiting:
            name, ref = self._waiting.pop(0)
            target = resolve(self.original, ref)
            self._definitions[name] = self._value(target, ref.removeprefix("#"))
        if self._definitions:
            compiled["$defs"] = {name: self._definitions[name] for name in self._in_order()}
        return compiled

    def _in_order(self) -> list[str]:
        """Definitions stand in the order of the original; hoisted places follow."""
        order = {
            f"#/{keyword}/{escape(name)}": index
            for keyword in ("$defs", "definitions")
            for index, name in enumerate(_mapping(self.original.get(keyword)))
        }
        refs = sorted(self._names, key=lambda ref: (order.get(ref, len(order)), ref))
        return [self._names[ref] for ref in refs]

    def _fields(self, node: Node, pointer: str, never_null: frozenset[str] | None = None) -> Node:
        """The members that make an object's schema. ``never_null`` is given at the root only."""
        declared = _mapping(node.get("properties"))
        required = [
            name for name in _names(node.get("required")) if declared.get(name) is not False
        ]
        fields: Node = {}
        for name, schema in declared.items():
            if schema is not False:
                place = f"{pointer}/properties/{escape(name)}"
                full = name in (required if never_null is None else never_null)
                fields[name] = self._field(schema, place, full=full, asked=name in required)
        for name in required:
            if name not in fields:
                full = never_null is None or name in never_null
                fields[name] = self._field({}, pointer, full=full, asked=True)
        return {
            "properties": fields,
            "required": list(fields),
            "additionalProperties": False,
        }

    def _field(self, schema: object, pointer: str, *, full: bool, asked: bool) -> Node:
        compiled = self._value(schema, pointer, conditional=not asked)
        return compiled if full else nullable(compiled)

    def _value(self, schema: object, pointer: str, *, conditional: bool = False) -> Node:
        if schema is False:
            raise SchemaError([Problem(pointer, "This allows no value at all.")])
        node: Node = schema if isinstance(schema, dict) else {}
        if "allOf" in node:
            node = merge_all_of(self.original, node, pointer)
        compiled = self._shape(node, pointer)
        text = describe(node, conditional=conditional)
        if not text:
            return compiled
        if "$ref" in compiled:
            return {"description": text, "anyOf": [compiled]}
        head = {"type": compiled.pop("type")} if "type" in compiled else {}
        return {**head, "description": text, **compiled}

    def _shape(self, node: Node, pointer: str) -> Node:
        ref = node.get("$ref")
        if isinstance(ref, str):
            return {"$ref": f"#/$defs/{escape(self._definition(ref))}"}
        if "enum" in node or "const" in node:
            return self._choices(node, pointer)
        if "type" not in node and implied_type(node) is None:
            for keyword in ("anyOf", "oneOf"):
                branches = node.get(keyword)
                if isinstance(branches, list):
                    return self._union(branches, f"{pointer}/{keyword}")
        types = _types(node)
        plain = [name for name in types if name not in ("object", "array")]
        if len(types) > 1 and (len(plain) < len(types) - 1 or (plain and plain != ["null"])):
            if len(plain) == len(types):
                return {"type": plain, **self._keywords(node, plain, pointer)}
            shapes: list[Node] = [
                {"type": name, **self._keywords(node, [name], pointer)} for name in types
            ]
            return {"anyOf": shapes}
        return {
            "type": types[0] if len(types) == 1 else types,
            **self._keywords(node, types, pointer),
        }

    def _union(self, branches: list[object], pointer: str) -> Node:
        shapes = [
            self._value(branch, f"{pointer}/{index}")
            for index, branch in enumerate(branches)
            if branch is not False
        ]
        if not shapes:
            raise SchemaError([Problem(pointer, "None of these alternatives allows a value.")])
        return {"anyOf": shapes}

    def _choices(self, node: Node, pointer: str) -> Node:
        values = _list(node.get("enum", [node.get("const")]))
        if "const" in node:
            values = [node["const"]] if node["const"] in values else []
        if "type" in node:
            allowed = _types(node)
            values = [value for value in values if any(is_type(value, name) for name in allowed)]
        values = list({json.dumps(value): value for value in values}.values())
        if not values:
            raise SchemaError(
                [Problem(f"{pointer}/enum", "No choice here is of the field's type.")]
            )
        if any(isinstance(value, list | dict) for value in values):
            self.closed = False
        types = list(dict.fromkeys(type_name(value) for value in values))
        return {"type": types[0] if len(types) == 1 else types, "enum": values}

    def _keywords(self, node: Node, types: list[str], pointer: str) -> Node:
        kept: Node = {}
        if "string" in types:
            if "pattern" in node:
                kept["pattern"] = node["pattern"]
            if node.get("format") in FORMATS:
                kept["format"] = node["format"]
            if self.lengths:
                kept |= {key: node[key] for key in ("minLength", "maxLength") if key in node}
        if "number" in types or "integer" in types:
            kept |= {key: node[key] for key in _NUMBER_KEYWORDS if is_number(node.get(key))}
        if "array" in types:
            kept |= {key: node[key] for key in ("minItems", "maxItems") if key in node}
            kept["items"] = self._items(node, pointer)
        if "object" in types:
            fields = self._fields(node, pointer)
            if not fields["properties"] and node.get("additionalProperties") is not False:
                self.closed = False
                return {**kept, "properties": {}, "required": [], "additionalProperties": True}
            kept |= fields
        return kept

    def _items(self, node: Node, pointer: str) -> Node:
        places = node.get("prefixItems")
        if isinstance(places, list):
            shapes = [
                self._value(place, f"{pointer}/prefixItems/{index}")
                for index, place in enumerate(places)
                if place is not False
            ]
            if isinstance(node.get("items"), dict):
                shapes.append(self._value(node["items"], f"{pointer}/items"))
            if shapes:
                unique = list({json.dumps(shape): shape for shape in shapes}.values())
                return unique[0] if len(unique) == 1 else {"anyOf": unique}
        items = node.get("items", node.get("contains", True))
        return self._value(True if items is False else items, f"{pointer}/items")

    def _definition(self, ref: str) -> str:
        """The name under ``$defs`` of what ``ref`` points to; hoisted if it lives elsewhere."""
        if ref not in self._names:
            stem = ref.rpartition("/")[2] if ref.startswith(("#/$defs/", "#/definitions/")) else ""
            if not stem or ref.count("/") != 2:
                stem = ref.removeprefix("#/").replace("/", "_").replace("$", "") or "root"
            stem = stem.replace("~1", "_").replace("~0", "_").lstrip("#") or "root"
            name, taken = stem, set(self._names.values())
            while name in taken:
                name += "_"
            self._names[ref] = name
            self._waiting.append((name, ref))
        return self._names[ref]


def nullable(compiled: Node) -> Node:
    """The compiled schema of a field that may also come back null."""
    if "anyOf" in compiled:
        branches = _list(compiled["anyOf"])
        if any(isinstance(branch, dict) and branch.get("type") == "null" for branch in branches):
            return compiled
        return {**compiled, "anyOf": [*branches, {"type": "null"}]}
    if "$ref" in compiled:
        return {"anyOf": [compiled, {"type": "null"}]}
    kind = compiled["type"]
    types = kind if isinstance(kind, list) else [kind]
    if "null" not in types:
        compiled = {**compiled, "type": [*types, "null"]}
    values = compiled.get("enum")
    if isinstance(values, list) and None not in values:
        compiled = {**compiled, "enum": [*values, None]}
    return compiled


def implied_type(node: Mapping[str, object]) -> str | None:
    """The type that a schema without ``type`` speaks of, if any."""
    for keywords, name in _IMPLIED_TYPES:
        if any(keyword in node for keyword in keywords):
            return name
    if any(keyword in node for keyword in ("pattern", "format", "minLength", "maxLength")):
        return "string"
    return None


def _types(node: Node) -> list[str]:
    """The types of a schema; an untyped field is text for the model (product 1.2)."""
    declared = node.get("type")
    if isinstance(declared, list):
        return [str(name) for name in declared]
    if isinstance(declared, str):
        return [declared]
    return [implied_type(node) or "string"]


def type_name(value: object) -> str:
    """The JSON Schema type of a value of JSON."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "integer" if isinstance(value, int) else "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def is_type(value: object, name: str) -> bool:
    """Whether a value of JSON is of a JSON Schema type; 2.0 is an integer."""
    own = type_name(value)
    if own == name or (name == "number" and own == "integer"):
        return True
    return name == "integer" and isinstance(value, float) and value.is_integer()


def _mapping(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _names(value: object) -> list[str]:
    return value if isinstance(value, list) else []
