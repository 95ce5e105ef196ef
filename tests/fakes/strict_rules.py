"""The schemas that a provider's strict mode answers with 400, and the sentence it answers with.

Written from the provider's rules, not from the compiler: each is the other's test.
"""

from __future__ import annotations

from typing import Any

ANNOTATIONS = {"description", "title", "$defs", "definitions"}
KEYWORDS = {
    "string": {"pattern", "format"},
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
    "integer": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
    "array": {"items", "minItems", "maxItems"},
    "object": {"properties", "required", "additionalProperties"},
    "boolean": set[str](),
    "null": set[str](),
}
FORMATS = {"date", "time", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
BOUNDS = KEYWORDS["number"]


class Refused(ValueError):
    """What a real server would answer 400 with."""


def check(schema: Any, *, bounds: bool = True) -> None:
    """Raise ``Refused`` for what strict mode does not take.

    ``bounds=False`` plays the servers that refuse ``minimum`` and ``maximum`` as well.
    """
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise Refused("schema must be a JSON Schema of 'type: \"object\"'")
    if "anyOf" in schema:
        raise Refused("schema must not have 'anyOf' at its root")
    _Check(schema, bounds=bounds).run()


class _Check:
    def __init__(self, root: dict[str, Any], *, bounds: bool) -> None:
        self.root = root
        self.bounds = bounds
        self.properties = self.choices = self.characters = 0

    def run(self) -> None:
        self.node(self.root, (), 1)
        for name, node in self.root.get("$defs", {}).items():
            self.characters += len(name)
            self.node(node, ("$defs", name), 1)
        if self.properties > 5000:
            raise Refused("schema has more than 5000 properties")
        if self.choices > 1000:
            raise Refused("schema has more than 1000 enum values")
        if self.characters > 120_000:
            raise Refused("schema has more than 120000 characters of names and values")

    def fail(self, path: tuple[str, ...], why: str) -> None:
        raise Refused(f"Invalid schema for response_format: In context={path}, {why}")

    def node(self, node: Any, path: tuple[str, ...], depth: int) -> None:
        if not isinstance(node, dict):
            self.fail(path, "schema must be an object")
        if depth > 10:
            self.fail(path, "schema is nested deeper than 10 levels")
        if "$ref" in node:
            return self.reference(node, path)
        if "anyOf" in node:
            return self.union(node, path, depth)
        types = node.get("type")
        if types is None:
            self.fail(path, "schema must have a 'type' key.")
        kinds = types if isinstance(types, list) else [types]
        self.keywords(node, kinds, path)
        if node.get("format", "date") not in FORMATS:
            self.fail(path, f"'{node['format']}' is not a valid format.")
        self.enum(node, kinds, path)
        if "array" in kinds:
            if "items" not in node:
                self.fail(path, "array schema missing items.")
            self.node(node["items"], (*path, "items"), depth)
        if "object" in kinds:
            self.object(node, path, depth)
        return None

    def keywords(self, node: dict[str, Any], kinds: list[str], path: tuple[str, ...]) -> None:
        allowed = ANNOTATIONS | {"type", "enum", "const"}
        for kind in kinds:
            if kind not in KEYWORDS:
                self.fail(path, f"'{kind}' is not a type")
            allowed = allowed | KEYWORDS[kind]
        for keyword in node:
            if keyword not in allowed or (keyword in BOUNDS and not self.bounds):
                self.fail(path, f"'{keyword}' is not permitted.")

    def reference(self, node: dict[str, Any], path: tuple[str, ...]) -> None:
        if set(node) != {"$ref"}:
            self.fail(path, "$ref cannot have keywords beside it.")
        ref = node["$ref"]
        name = ref.removeprefix("#/$defs/").replace("~1", "/").replace("~0", "~")
        if ref != "#" and (
            not ref.startswith("#/$defs/") or name not in self.root.get("$defs", {})
        ):
            self.fail(path, f"reference to component '{ref}' which was not found.")

    def union(self, node: dict[str, Any], path: tuple[str, ...], depth: int) -> None:
        for keyword in node:
            if keyword not in ANNOTATIONS | {"anyOf"}:
                self.fail(path, f"'{keyword}' is not permitted beside anyOf.")
        if not isinstance(node["anyOf"], list) or not node["anyOf"]:
            self.fail(path, "anyOf must be a list of schemas")
        for index, branch in enumerate(node["anyOf"]):
            self.node(branch, (*path, "anyOf", str(index)), depth)

    def enum(self, node: dict[str, Any], kinds: list[str], path: tuple[str, ...]) -> None:
        values = node.get("enum", [node["const"]] if "const" in node else None)
        if values is None:
            return
        if not values:
            self.fail(path, "enum must have at least one value")
        self.choices += len(values)
        for value in values:
            self.characters += len(value) if isinstance(value, str) else 0
            if not any(_is(value, kind) for kind in kinds):
                self.fail(path, f"enum value {value!r} does not validate against {kinds}")

    def object(self, node: dict[str, Any], path: tuple[str, ...], depth: int) -> None:
        if node.get("additionalProperties") is not False:
            self.fail(path, "'additionalProperties' is required to be supplied and to be false.")
        fields = node.get("properties", {})
        if sorted(node.get("required", [])) != sorted(fields):
            self.fail(
                path, "'required' is required to be supplied and to be an array including every "
                "key in properties.",
            )  # fmt: skip
        self.properties += len(fields)
        for name, field in fields.items():
            self.characters += len(name)
            inside = "properties" in field if isinstance(field, dict) else False
            self.node(field, (*path, "properties", name), depth + inside)


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    match kind:
        case "null":
            return value is None
        case "string":
            return isinstance(value, str)
        case "integer":
            return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        case "number":
            return isinstance(value, int | float)
    return False
