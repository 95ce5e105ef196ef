"""All schemas that judge one value, gathered from ``$ref``, ``allOf`` and alternatives.

A *place* is where a value of a response is. JSON Schema lets many schemas judge the same place.
The schema that is sent, the cleaning, and the list of fields all use the set gathered here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from apps.llm.schema.json_text import Problem, SchemaError
from apps.llm.schema.nodes import Node, escape, list_of, mapping_of, names_of, resolve
from apps.llm.schema.patterns import matches

MAX_EXPANDED = 20_000
MAX_DEPTH = 60


@dataclass(frozen=True, slots=True)
class Located:
    """A schema and its JSON Pointer in the operator's document."""

    schema: object
    pointer: str


def nodes_of(items: Iterable[Located]) -> list[Node]:
    """Return the schemas that are objects, not booleans."""
    return [item.schema for item in items if isinstance(item.schema, dict)]


@dataclass(frozen=True, slots=True)
class Place:
    """What judges one value.

    ``nodes`` judge it in any case. Of each of ``choices`` (an ``anyOf`` or ``oneOf``) one branch
    must fit. ``maybe`` (``then``, ``else``, ``dependentSchemas``) judge it under a condition, and
    ``conditions`` (``if``) only mention fields.
    """

    pointer: str
    nodes: tuple[Located, ...]
    choices: tuple[tuple[Located, ...], ...] = ()
    maybe: tuple[Located, ...] = ()
    conditions: tuple[Located, ...] = ()

    @property
    def key(self) -> tuple[object, ...]:
        """Return the same for the same schemas, whatever way led to them."""
        nodes = frozenset(id(node.schema) for node in self.nodes)
        chosen = tuple(id(branch.schema) for branches in self.choices for branch in branches)
        return nodes, chosen

    def having(self, keyword: str) -> Iterator[tuple[Node, str]]:
        """Return the certain nodes that have a keyword, and their pointers."""
        for node in self.nodes:
            if isinstance(node.schema, dict) and keyword in node.schema:
                yield node.schema, node.pointer


@dataclass(slots=True)
class Field:
    """A member of an object: all schemas of its value, and whether it is always required."""

    schemas: list[Located] = field(default_factory=list)
    required: bool = False


class Places:
    """The places of one document. Raises ``SchemaError`` for what can't be gathered."""

    def __init__(self, root: Node) -> None:
        self.root = root
        self._made: dict[tuple[object, ...], tuple[Node, list[Located]]] = {}
        self._gathered = 0

    def gather(self, schemas: Iterable[Located], pointer: str) -> Place:
        """Gather all that judges the value which each of ``schemas`` judges."""
        self._gathered += 1
        if self._gathered > MAX_EXPANDED:
            raise SchemaError([Problem("", TOO_LARGE)])
        found = _Gathering(self.root)
        for item in schemas:
            found.visit(item.schema, item.pointer, frozenset())
        return Place(
            pointer,
            tuple(found.nodes),
            tuple(found.choices),
            tuple(found.maybe),
            tuple(found.conditions),
        )

    def join(self, place: Place, branch: Located) -> Place:
        """Return the place with its first choice made."""
        inner = self.gather([branch], branch.pointer)
        seen = {id(node.schema) for node in place.nodes}
        added = tuple(node for node in inner.nodes if id(node.schema) not in seen)
        return Place(
            branch.pointer,
            place.nodes + added,
            place.choices[1:] + inner.choices,
            place.maybe + inner.maybe,
            place.conditions + inner.conditions,
        )

    def fields(self, place: Place) -> dict[str, Field]:
        """Return the members of an object in their order; those of branches are never required."""
        fields = self._certain_fields(place)
        extra = self._uncertain_fields(place, fields)
        for name, alternatives in extra.items():
            if name not in fields:
                fields[name] = Field([self.any_of(alternatives)])
        for node, _pointer in place.having("dependentRequired"):
            for given, names in mapping_of(node["dependentRequired"]).items():
                for name in (given, *names_of(names)):
                    fields.setdefault(name, Field())
        for node, _pointer in place.having("dependentSchemas"):
            for given in mapping_of(node["dependentSchemas"]):
                fields.setdefault(given, Field())
        return self._allowed(place, fields)

    def _uncertain_fields(self, place: Place, fields: dict[str, Field]) -> dict[str, list[Located]]:
        """The fields of branches and conditions; what all branches say of others joins those."""
        extra: dict[str, list[Located]] = {}
        for branches in place.choices:
            self._add_choice(fields, extra, branches)
        for item in place.maybe:
            for name, schemas in self._branch_fields(item).items():
                extra.setdefault(name, []).append(self.all_of(schemas))
        for item in place.conditions:
            for name, schemas in self._branch_fields(item).items():
                if name not in fields and name not in extra:
                    extra[name] = [self._as_type(schemas, item.pointer)]
        return extra

    def all_of(self, schemas: Sequence[Located]) -> Located:
        """Return one schema that represents all of these."""
        return self._combined("allOf", schemas)

    def any_of(self, schemas: Sequence[Located]) -> Located:
        """Return one schema that represents any of these."""
        return self._combined("anyOf", schemas)

    def _combined(self, keyword: str, schemas: Sequence[Located]) -> Located:
        unique = list({id(item.schema): item for item in schemas}.values())
        if len(unique) < 2:
            return unique[0] if unique else Located({}, "")
        # The same parts make the same schema, so that recursion through it is noticed.
        key = (keyword, *(id(item.schema) for item in unique))
        if key not in self._made:
            self._made[key] = ({keyword: [item.schema for item in unique]}, unique)
        return Located(self._made[key][0], unique[0].pointer)

    def _as_type(self, schemas: Sequence[Located], pointer: str) -> Located:
        """A field that a condition mentions, requested by the type of the compared value."""
        key = ("type", *(id(item.schema) for item in schemas))
        if key not in self._made:
            node: Node = {}
            for item in schemas:
                schema = item.schema if isinstance(item.schema, dict) else {}
                values = schema.get("enum", [schema["const"]] if "const" in schema else [])
                if "type" in schema:
                    node["type"] = schema["type"]
                elif isinstance(values, list) and values:
                    node["type"] = _json_type(values[0])
            self._made[key] = (node, list(schemas))
        return Located(self._made[key][0], pointer)

    def _certain_fields(self, place: Place) -> dict[str, Field]:
        fields: dict[str, Field] = {}
        for node, pointer in place.having("properties"):
            for name, schema in mapping_of(node["properties"]).items():
                at = f"{pointer}/properties/{escape(name)}"
                fields.setdefault(name, Field()).schemas.append(Located(schema, at))
        for node, _pointer in place.having("required"):
            for name in names_of(node["required"]):
                fields.setdefault(name, Field()).required = True
        return fields

    def _branch_fields(self, branch: Located) -> dict[str, list[Located]]:
        """Return the fields of a branch; none of one that allows nothing."""
        try:
            found = self.fields(self.gather([branch], branch.pointer))
        except SchemaError as error:
            if error.problems[0].message == TOO_LARGE:
                raise
            return {}
        return {name: item.schemas for name, item in found.items()}

    def _add_choice(
        self,
        fields: dict[str, Field],
        extra: dict[str, list[Located]],
        branches: Sequence[Located],
    ) -> None:
        each = [self._branch_fields(branch) for branch in branches]
        for name in dict.fromkeys(name for found in each for name in found):
            said = [self.all_of(found[name]) for found in each if name in found]
            if name not in fields:
                extra.setdefault(name, []).extend(said)
            elif len(said) == len(each):
                fields[name].schemas.append(self.any_of(said))

    def _allowed(self, place: Place, fields: dict[str, Field]) -> dict[str, Field]:
        """The fields with what ``additionalProperties`` and patterns of the nodes say of them."""
        kept = {}
        for name, found in fields.items():
            for item in place.nodes:
                found.schemas += _rules_by_name(item, name)
            if not any(item.schema is False for item in found.schemas):
                kept[name] = found
            elif found.required:
                why = f"“{name}” is required but isn't allowed."
                raise SchemaError([Problem(place.pointer, why)])
        return kept


def _rules_by_name(item: Located, name: str) -> Iterator[Located]:
    """Yield what a node says of a field that isn't among its ``properties``."""
    node = item.schema if isinstance(item.schema, dict) else {}
    patterns = mapping_of(node.get("patternProperties"))
    matching = [pattern for pattern in patterns if matches(pattern, name)]
    for pattern in matching:
        at = f"{item.pointer}/patternProperties/{escape(pattern)}"
        yield Located(patterns[pattern], at)
    declared = name in mapping_of(node.get("properties"))
    if "additionalProperties" in node and not declared and not matching:
        yield Located(node["additionalProperties"], f"{item.pointer}/additionalProperties")


TOO_LARGE = (
    "The schema is too large once its references and alternatives are written out. Use fewer "
    "references to references, or fewer combinations."
)


class _Gathering:
    def __init__(self, root: Node) -> None:
        self.root = root
        self.nodes: list[Located] = []
        self.choices: list[tuple[Located, ...]] = []
        self.maybe: list[Located] = []
        self.conditions: list[Located] = []
        self._seen: set[int] = set()

    def visit(self, schema: object, pointer: str, path: frozenset[int]) -> None:
        if schema is False:
            raise SchemaError([Problem(pointer, "No value can match this schema.")])
        if not isinstance(schema, dict):
            return
        if id(schema) in path:
            raise SchemaError([Problem(pointer, "This definition contains itself.")])
        if id(schema) in self._seen:
            return
        self._seen.add(id(schema))
        self.nodes.append(Located(schema, pointer))
        path |= {id(schema)}
        ref = schema.get("$ref")
        if isinstance(ref, str):
            self.visit(resolve(self.root, ref), ref[1:], path)
        for index, part in enumerate(list_of(schema.get("allOf"))):
            self.visit(part, f"{pointer}/allOf/{index}", path)
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                self._choose(list_of(schema[keyword]), f"{pointer}/{keyword}", path)
        self._conditional(schema, pointer, path)

    def _choose(self, branches: list[object], pointer: str, path: frozenset[int]) -> None:
        possible = [
            Located(branch, f"{pointer}/{index}")
            for index, branch in enumerate(branches)
            if branch is not False
        ]
        if not possible:
            raise SchemaError([Problem(pointer, "None of these alternatives allows a value.")])
        if len(possible) == 1:
            self.visit(possible[0].schema, possible[0].pointer, path)
        else:
            self.choices.append(tuple(possible))

    def _conditional(self, schema: Node, pointer: str, path: frozenset[int]) -> None:
        if "if" in schema:
            condition = schema["if"]
            holds = True if condition == {} else condition
            for keyword, when in (("then", True), ("else", False)):
                if keyword not in schema or holds is (not when):
                    continue
                if holds is when:
                    self.visit(schema[keyword], f"{pointer}/{keyword}", path)
                else:
                    self.maybe.append(Located(schema[keyword], f"{pointer}/{keyword}"))
                    self.conditions.append(Located(condition, f"{pointer}/if"))
        for name, part in mapping_of(schema.get("dependentSchemas")).items():
            self.maybe.append(Located(part, f"{pointer}/dependentSchemas/{escape(name)}"))


def _json_type(value: object) -> str:
    kinds = ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"))
    for kind, name in kinds:
        if isinstance(value, kind):
            return name
    return "null" if value is None else "array" if isinstance(value, list) else "object"
