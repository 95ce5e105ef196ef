"""Drop empty values from a response, by all schemas that judge each place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from apps.llm.schema.nodes import Node, list_of, mapping_of, names_of, resolve
from apps.llm.schema.validation import Judge

_OPEN = (
    *("additionalProperties", "patternProperties", "unevaluatedProperties", "propertyNames"),
    *("minProperties", "maxProperties", "not"),
)


class Cleaner:
    """Cleans responses by one operator's schema. Thread-safe: its cache never changes."""

    def __init__(self, root: Node, judge: Judge) -> None:
        self.root = root
        self.judge = judge
        self._views: dict[tuple[int, ...], _View] = {}
        self._whole = _View(self, [root])

    def __call__(self, answer: Mapping[str, object]) -> dict[str, object]:
        """Return the response without its empty fields and without those that no one asked for."""
        return self._whole.clean_object(answer, is_root=True)

    @property
    def names(self) -> frozenset[str]:
        """Return the fields that the schema speaks of at its top."""
        return self._whole.names

    @property
    def is_open(self) -> bool:
        """Return whether it may hold fields that the schema doesn't name."""
        return self._whole.is_open

    def view(self, schemas: Sequence[object]) -> _View:
        """Return the view of a place, from memory."""
        key = tuple(id(schema) for schema in schemas)
        if key not in self._views:
            self._views[key] = _View(self, schemas)
        return self._views[key]


class _View:
    """What all schemas of a place, those of its alternatives included, say for cleaning it."""

    def __init__(self, cleaner: Cleaner, schemas: Sequence[object]) -> None:
        self._cleaner = cleaner
        self._schemas = list(schemas)  # keeps them, and so their ids
        nodes = _nodes(cleaner.root, schemas)
        self._fields: dict[str, list[object]] = {}
        self._items: list[tuple[list[object], object]] = []
        self._required: set[str] = set()
        self.is_open = any(_is_open(node) for node, _ in nodes)
        spoken: set[str] = set()
        for node, is_certain in nodes:
            for name, schema in mapping_of(node.get("properties")).items():
                self._fields.setdefault(name, []).append(schema)
            required = names_of(node.get("required"))
            spoken.update(required)
            spoken.update(mapping_of(node.get("dependentSchemas")))
            for name, names in mapping_of(node.get("dependentRequired")).items():
                spoken.update([name, *names_of(names)])
            if is_certain:
                self._required.update(required)
            if "items" in node or "prefixItems" in node:
                self._items.append((list_of(node.get("prefixItems")), node.get("items")))
        self.names = frozenset(spoken | self._fields.keys())
        self._is_whole = _is_whole(node for node, _ in nodes)
        self.offers_blank = any(_offers_blank(node) for node, _ in nodes)
        self._null: dict[str, bool] = {}

    def clean(self, value: object) -> object:
        if isinstance(value, dict):
            return self.clean_object(value) if self.names else value
        if isinstance(value, list):
            return [self._clean_item(index, item) for index, item in enumerate(value)]
        if self._is_whole and isinstance(value, float) and value.is_integer():
            return int(value)
        return value

    def clean_object(
        self, value: Mapping[str, object], *, is_root: bool = False
    ) -> dict[str, object]:
        if not is_root and self.names.isdisjoint(value):
            return dict(value)  # nothing that was asked for: that is for the judge to say
        result: dict[str, object] = {}
        for name, item in value.items():
            if name not in self.names:
                if self.is_open:
                    result[name] = item
                continue
            view = self._cleaner.view(self._fields.get(name, ()))
            kept = item if item is None else view.clean(item)
            is_required = name in self._required
            if is_root or not is_required:
                if kept is None and not (is_required and self._allows_null(name)):
                    continue
                if isinstance(kept, str) and not kept.strip() and not view.offers_blank:
                    continue
                if kept == {} and item:
                    continue
            result[name] = kept
        return result

    def _clean_item(self, index: int, item: object) -> object:
        schemas = [places[index] if index < len(places) else other for places, other in self._items]
        known = [schema for schema in schemas if isinstance(schema, dict)]
        return self._cleaner.view(known).clean(item) if known else item

    def _allows_null(self, name: str) -> bool:
        """Return whether null is a value of a required field rather than the lack of one."""
        if name not in self._null:
            schemas = [schema for schema in self._fields.get(name, ()) if schema is not True]
            typed = bool(schemas) and all(
                isinstance(schema, dict) and _speaks_of_null(self._cleaner.root, schema)
                for schema in schemas
            )
            judge = self._cleaner.judge
            self._null[name] = typed and all(judge.allows(schema, None) for schema in schemas)
        return self._null[name]


def _nodes(root: Node, schemas: Iterable[object]) -> list[tuple[Node, bool]]:
    """Return every node that may judge the place, and whether it does so in any case."""
    found: list[tuple[Node, bool]] = []
    seen: set[tuple[int, bool]] = set()
    stack = [(schema, True) for schema in reversed(list(schemas))]
    while stack:
        node, is_certain = stack.pop()
        if not isinstance(node, dict) or (id(node), is_certain) in seen:
            continue
        seen.add((id(node), is_certain))
        found.append((node, is_certain))
        below: list[tuple[object, bool]] = []
        if isinstance(ref := node.get("$ref"), str):
            below.append((resolve(root, ref), is_certain))
        below += [(part, is_certain) for part in list_of(node.get("allOf"))]
        for keyword in ("anyOf", "oneOf"):
            branches = list_of(node.get(keyword))
            below += [(branch, is_certain and len(branches) == 1) for branch in branches]
        below += [(node[keyword], False) for keyword in ("if", "then", "else") if keyword in node]
        below += [(part, False) for part in mapping_of(node.get("dependentSchemas")).values()]
        stack.extend(reversed(below))
    return found


def _is_open(node: Node) -> bool:
    """Return whether a schema says something of fields that it doesn't name."""
    values = [*list_of(node.get("enum")), node.get("const")]
    return any(key in node for key in _OPEN) or any(isinstance(v, dict) for v in values)


def _is_whole(nodes: Iterable[Node]) -> bool:
    """Return whether a number here is a whole one: 5.0 is how some models write 5."""
    asked = False
    for node in nodes:
        kind = node.get("type")
        types = kind if isinstance(kind, list) else [kind]
        values = [*list_of(node.get("enum")), node.get("const")]
        numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
        if "number" in types or any(isinstance(v, float) and v % 1 for v in numbers):
            return False
        asked = asked or "integer" in types or bool(numbers)
    return asked


def _offers_blank(node: Node) -> bool:
    values = [*list_of(node.get("enum")), node.get("const")]
    return any(isinstance(value, str) and not value.strip() for value in values)


def _speaks_of_null(root: Node, schema: Node) -> bool:
    """Return whether a schema names null, instead of merely saying nothing against it."""
    for node, _ in _nodes(root, [schema]):
        kind = node.get("type")
        if "null" in (kind if isinstance(kind, list) else [kind]):
            return True
        if None in list_of(node.get("enum")) or ("const" in node and node["const"] is None):
            return True
    return False
