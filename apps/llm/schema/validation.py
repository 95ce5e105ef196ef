"""JSON Schema's own verdict about a value, with patterns in linear time and exact decimals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import extend

from apps.llm.numbers import is_multiple
from apps.llm.schema.formats import format_checker
from apps.llm.schema.nodes import IN_PLACE, Node
from apps.llm.schema.patterns import matches

MAX_MESSAGES = 10
_MESSAGE_LENGTH = 300
_WITH_OTHERS = (*IN_PLACE, "$ref", "unevaluatedProperties", "unevaluatedItems")
_DEEP = (
    *("properties", "patternProperties", "additionalProperties", "propertyNames"),
    *("items", "prefixItems", "contains"),
)


class MissingFieldError(ValidationError):
    """A required field isn't there."""

    def __init__(self, name: str, why: str = "a required property") -> None:
        super().__init__(f"{name!r} is {why}")
        self.name = name


# jsonschema's keyword functions take and give untyped values.
def _required(validator: Any, names: list[str], value: Any, _s: Any) -> Iterator[ValidationError]:
    if validator.is_type(value, "object"):
        yield from (MissingFieldError(name) for name in names if name not in value)


def _dependent_required(
    validator: Any, rules: dict[str, list[str]], value: Any, _s: Any
) -> Iterator[ValidationError]:
    if validator.is_type(value, "object"):
        for given, names in rules.items():
            if given in value:
                for name in names:
                    if name not in value:
                        yield MissingFieldError(name, f"required with {given!r}")


def _multiple_of(validator: Any, step: Any, value: Any, _s: Any) -> Iterator[ValidationError]:
    if validator.is_type(value, "number") and math.isfinite(value) and not is_multiple(value, step):
        yield ValidationError(f"{value!r} is not a multiple of {step!r}")


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
        "required": _required,
        "dependentRequired": _dependent_required,
        "multipleOf": _multiple_of,
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
    },
)
_FORMATS = format_checker()


class Judge:
    """An operator's schema as it is, ready to judge many values. Thread-safe."""

    def __init__(self, schema: Node) -> None:
        known = {key: value for key, value in schema.items() if key not in ("$id", "$schema")}
        self._validator = _Validator(known, format_checker=_FORMATS)

    def allows(self, schema: object, value: object) -> bool:
        """Return whether a subschema of the document allows a value."""
        return bool(self._validator.evolve(schema=schema).is_valid(value))

    def examine(self, value: object) -> tuple[list[str], list[str]]:
        """Return the problems with an object, and which of its required fields are missing.

        A field that is only required in one of several alternatives is missing where nothing else
        keeps that alternative from fitting.
        """
        errors: Iterable[Any] = self._validator.iter_errors(value)
        missing: dict[str, None] = {}
        wrong: list[str] = []
        for error in errors:
            names = _missing_names(error)
            if names is not None:
                missing.update(dict.fromkeys(names))
            elif len(wrong) < MAX_MESSAGES:
                wrong.append(_sentence(error))
            else:
                break
        return wrong, list(missing)


def is_valid_alone(value: object, node: Node) -> bool:
    """Return whether a value fits the node's own rules, without its references."""
    return not reason_alone(value, node)


def reason_alone(value: object, node: Node) -> str:
    """Return which of the node's own rules a value breaks, or nothing."""
    left_out = {*_WITH_OTHERS, "$id", "$schema", "$defs", "definitions", "enum", "const"}
    if isinstance(value, list | dict):
        left_out.update(_DEEP)
    own = {key: rule for key, rule in node.items() if key not in left_out}
    errors: Iterable[Any] = _Validator(own, format_checker=_FORMATS).iter_errors(value)
    return next((str(error.message)[:_MESSAGE_LENGTH] for error in errors), "")


def _missing_names(error: Any) -> list[str] | None:
    """The fields of the response's top that an error only misses; None for any other error."""
    if error.absolute_path:
        return None
    if isinstance(error, MissingFieldError):
        return [error.name]
    if error.validator not in ("anyOf", "oneOf") or not error.context:
        return None
    branches: dict[object, list[str] | None] = {}
    for inner in error.context:
        branch = inner.schema_path[0]
        names, known = _missing_names(inner), branches.get(branch, [])
        branches[branch] = None if names is None or known is None else known + names
    candidates = [names for names in branches.values() if names is not None]
    return min(candidates, key=len, default=None)


def _sentence(error: Any) -> str:
    place = "".join(f"/{part}" for part in error.absolute_path)
    message = error.message
    if len(message) > _MESSAGE_LENGTH:
        message = f"{message[: _MESSAGE_LENGTH // 2]} … {message[-_MESSAGE_LENGTH // 2 :]}"
    return f"{place}: {message}" if place else message
