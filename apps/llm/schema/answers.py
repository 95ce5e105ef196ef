"""Holding a model's answer against the operator's own schema (product 3.2, 3.3)."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend

from apps.llm.schema.formats import format_checker
from apps.llm.schema.json_text import SchemaError
from apps.llm.schema.merge import merge_all_of, merge_root
from apps.llm.schema.nodes import Node, resolve
from apps.llm.schema.patterns import matches

MAX_MESSAGES = 10
_MESSAGE_LENGTH = 300
_TOO_DEEP = "The answer is nested too deeply."
_OPEN = ("additionalProperties", "patternProperties", "unevaluatedProperties")

Cleaner = Callable[[object], object]


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer, judged: what to keep, which required fields stayed empty, what is wrong."""

    output: dict[str, object]
    missing_required: list[str]
    problems: list[str]


# jsonschema's keyword functions take and give untyped values.
def _pattern(_v: Validator, pattern: str, value: Any, _s: Any) -> Iterator[ValidationError]:
    if isinstance(value, str) and not matches(pattern, value):
        yield ValidationError(f"{value!r} does not match {pattern!r}")


def _pattern_properties(
    validator: Any, patterns: dict[str, Any], value: Any, _s: Any
) -> Iterator[ValidationError]:
    if isinstance(value, dict):
        for pattern, schema in patterns.items():
            for key, item in value.items():
                if matches(pattern, key):
                    yield from validator.descend(item, schema, path=key, schema_path=pattern)


def _additional_properties(
    validator: Any, allowed: Any, value: Any, schema: dict[str, Any]
) -> Iterator[ValidationError]:
    if not isinstance(value, dict):
        return
    declared = schema.get("properties", {})
    patterns = schema.get("patternProperties", {})
    for key, item in value.items():
        if key in declared or any(matches(pattern, key) for pattern in patterns):
            continue
        if allowed is False:
            yield ValidationError(f"{key!r} was not asked for")
        else:
            yield from validator.descend(item, allowed, path=key)


_Validator = extend(  # type: ignore[no-untyped-call]  # the stubs leave it untyped
    Draft202012Validator,
    {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
    },
)
_FORMATS = format_checker()


class Checker:
    """One operator's schema, made ready to judge many answers. Thread-safe once built."""

    def __init__(self, schema: Mapping[str, object]) -> None:
        # `#` must go on meaning the whole schema, `required` included, one level down.
        whole = {key: value for key, value in schema.items() if key not in ("$id", "$schema")}
        self._root: Node = {key: value for key, value in whole.items() if key != "required"}
        required = whole.get("required")
        self.required: list[str] = list(required) if isinstance(required, list) else []
        if self.required and _refers_to_root(whole):
            definitions = whole.get("$defs")
            others = definitions if isinstance(definitions, dict) else {}
            name = "root"
            while name in others:
                name += "_"
            self._root = _redirect(self._root, f"#/$defs/{name}")
            self._root["$defs"] = {
                **{key: _redirect(value, f"#/$defs/{name}") for key, value in others.items()},
                name: {
                    key: _redirect(value, f"#/$defs/{name}")
                    for key, value in whole.items()
                    if key not in ("$defs", "definitions")
                },
            }
        self._validator = _Validator(self._root, format_checker=_FORMATS)
        self._clean = _Cleaning(self._root, self._validator).root(self.required)

    def examine(self, answer: Mapping[str, object]) -> Verdict:
        """Clean, then judge. Never raises, whatever the answer holds."""
        try:
            output = self._clean(answer)
            assert isinstance(output, dict)
            found = self.messages(output)
        except RecursionError:
            return Verdict({}, [], [_TOO_DEEP])
        return Verdict(output, [name for name in self.required if name not in output], found)

    def clean(self, answer: Mapping[str, object]) -> dict[str, object]:
        """The answer without its empty fields; see ``clean`` below."""
        output = self._clean(answer)
        assert isinstance(output, dict)
        return output

    def messages(self, output: dict[str, object]) -> list[str]:
        """What of a cleaned answer departs from the schema; see ``validate`` below."""
        errors: Iterable[Any] = self._validator.iter_errors(output)
        found = []
        for error in errors:
            place = "".join(f"/{part}" for part in error.absolute_path)
            message = error.message
            if len(message) > _MESSAGE_LENGTH:
                message = f"{message[: _MESSAGE_LENGTH // 2]} … {message[-_MESSAGE_LENGTH // 2 :]}"
            found.append(f"{place}: {message}" if place else message)
            if len(found) == MAX_MESSAGES:
                break
        return found


_checkers: OrderedDict[str, Checker] = OrderedDict()
_CACHE_SIZE = 256


def checker(schema: Mapping[str, object]) -> Checker:
    """The checker of a schema, from a bounded cache keyed by its content."""
    key = json.dumps(schema, ensure_ascii=False)
    found = _checkers.get(key)
    if found is None:
        found = _checkers[key] = Checker(json.loads(key))
        if len(_checkers) > _CACHE_SIZE:
            _checkers.popitem(last=False)
    else:
        _checkers.move_to_end(key)
    return found


def clean(answer: Mapping[str, object], schema: Mapping[str, object]) -> dict[str, object]:
    """``answer`` without what stayed empty.

    Dropped are null and blank text of root fields and of optional nested ones, objects that this
    emptied, and fields that nobody asked for (unless the schema itself speaks of additional
    ones). Kept are an empty list (it says *none*), an empty choice that the schema offers, and
    null in a required field whose schema allows it. The one conversion is a whole number written
    as 4.0 where an integer is asked for.
    """
    return checker(schema).clean(answer)


def validate(answer: Mapping[str, object], schema: Mapping[str, object]) -> list[str]:
    """What of the (cleaned) answer departs from the schema, at most ``MAX_MESSAGES`` sentences.

    A root field that is required and missing is not among them: see ``missing_required``.
    """
    try:
        return checker(schema).messages(dict(answer))
    except RecursionError:
        return [_TOO_DEEP]


def missing_required(answer: Mapping[str, object], schema: Mapping[str, object]) -> list[str]:
    """Names of the required root fields that the (cleaned) answer left empty."""
    return [name for name in checker(schema).required if name not in answer]


def _refers_to_root(node: object) -> bool:
    if isinstance(node, dict):
        return node.get("$ref") == "#" or any(map(_refers_to_root, node.values()))
    return isinstance(node, list) and any(map(_refers_to_root, node))


def _redirect(node: Any, target: str) -> Any:
    if isinstance(node, dict):
        return {
            key: target if key == "$ref" and value == "#" else _redirect(value, target)
            for key, value in node.items()
        }
    return [_redirect(item, target) for item in node] if isinstance(node, list) else node


class _Cleaning:
    """Builds, once per schema, the function that drops what stayed empty."""

    def __init__(self, root: Node, validator: Any) -> None:
        self._root = root
        self._validator = validator
        self._built: dict[int, Cleaner | None] = {}
        self._merged: list[Node] = []  # keeps them, and so their ids, for as long as the memory

    def root(self, required: list[str]) -> Cleaner:
        try:
            self._merged.append(merge_root(self._root))
        except SchemaError:
            self._merged.append(self._root)
        return self._object(self._merged[-1], frozenset(required), is_root=True)

    def _build(self, schema: object) -> Cleaner | None:
        """The cleaner of a value, or ``None`` where nothing below can be dropped."""
        if not isinstance(schema, dict):
            return None
        key = id(schema)
        if key not in self._built:
            # A recursive schema finds this forwarder while its own cleaner is being built.
            def forward(value: object) -> object:
                return (self._built[key] or _unchanged)(value)

            self._built[key] = forward
            self._built[key] = self._make(schema)
        return self._built[key]

    def _make(self, schema: Node) -> Cleaner | None:
        if "allOf" in schema:
            try:
                schema = merge_all_of(self._root, schema, "")
            except SchemaError:
                return None
            self._merged.append(schema)
        cleaners: list[Cleaner | None] = []
        ref = schema.get("$ref")
        if isinstance(ref, str):
            cleaners.append(self._build(resolve(self._root, ref)))
        cleaners += [self._union(_list(schema.get(keyword))) for keyword in ("anyOf", "oneOf")]
        if "properties" in schema:
            cleaners.append(self._object(schema, frozenset(_names(schema))))
        if isinstance(schema.get("items"), dict) and (item := self._build(schema["items"])):
            cleaners.append(_each(item))
        if schema.get("type") == "integer" or schema.get("type") == ["integer", "null"]:
            cleaners.append(_whole)
        return _chain([cleaner for cleaner in cleaners if cleaner])

    def _union(self, branches: list[object]) -> Cleaner | None:
        """Cleans by the alternative that then fits, and that keeps the most of the value."""
        options = [
            (cleaner, self._validator.evolve(schema=branch))
            for branch in branches
            if (cleaner := self._build(branch))
        ]
        if not options:
            return None
        if len(branches) == 1 or (len(branches) == 2 and {"type": "null"} in branches):
            return options[0][0]

        def clean_by_the_fitting(value: object) -> object:
            cleaned = [(cleaner(value), validator) for cleaner, validator in options]
            fitting = [made for made, validator in cleaned if validator.is_valid(made)]
            return max(fitting, key=_size, default=value)

        return clean_by_the_fitting

    def _object(self, schema: Node, required: frozenset[str], *, is_root: bool = False) -> Cleaner:
        declared = schema.get("properties")
        fields = declared if isinstance(declared, dict) else {}
        inner = {name: cleaner for name, sub in fields.items() if (cleaner := self._build(sub))}
        keeps_null = {name for name in required if self._allows(fields.get(name), _null_is_offered)}
        keeps_blank = {name for name, sub in fields.items() if self._allows(sub, _blank_is_offered)}
        droppable = frozenset(fields) | required if is_root else frozenset(fields) - required
        composed = any(key in schema for key in ("allOf", "anyOf", "oneOf", "$ref", "if"))
        closed = not composed and not any(key in schema for key in _OPEN)

        def clean_object(value: object) -> object:
            if not isinstance(value, dict):
                return value
            result = {}
            for name, item in value.items():
                kept = item
                if name in inner and item is not None:
                    kept = inner[name](item)
                if name in droppable:
                    if kept is None and name not in keeps_null:
                        continue
                    if isinstance(kept, str) and not kept.strip() and name not in keeps_blank:
                        continue
                    if kept == {} and item:
                        continue
                elif closed and name not in fields and name not in required:
                    continue
                result[name] = kept
            return result

        return clean_object

    def _allows(self, schema: object, offered: Callable[[Node], bool], depth: int = 0) -> bool:
        if not isinstance(schema, dict) or depth > 20:
            return False
        if offered(schema):
            return True
        branches = [
            branch
            for keyword in ("anyOf", "oneOf", "allOf")
            for branch in _list(schema.get(keyword))
        ]
        ref = schema.get("$ref")
        if isinstance(ref, str):
            branches.append(resolve(self._root, ref))
        return any(self._allows(branch, offered, depth + 1) for branch in branches)


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _names(schema: Node) -> list[str]:
    return [name for name in _list(schema.get("required")) if isinstance(name, str)]


def _null_is_offered(schema: Node) -> bool:
    kind = schema.get("type")
    types = kind if isinstance(kind, list) else [kind]
    values = _list(schema.get("enum"))
    return "null" in types or None in values or ("const" in schema and schema["const"] is None)


def _blank_is_offered(schema: Node) -> bool:
    values = [*_list(schema.get("enum")), schema.get("const")]
    return any(isinstance(value, str) and not value.strip() for value in values)


def _unchanged(value: object) -> object:
    return value


def _size(value: object) -> int:
    return len(value) if isinstance(value, list | dict) else 0


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _each(cleaner: Cleaner) -> Cleaner:
    def clean_items(value: object) -> object:
        return [cleaner(item) for item in value] if isinstance(value, list) else value

    return clean_items


def _chain(cleaners: list[Cleaner]) -> Cleaner | None:
    if len(cleaners) < 2:
        return cleaners[0] if cleaners else None

    def clean_in_turn(value: object) -> object:
        for cleaner in cleaners:
            value = cleaner(value)
        return value

    return clean_in_turn
