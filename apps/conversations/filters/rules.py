"""Rules: conditions of filters, nested in *any* and *all*, as JSON documents.

    {"any": [{"field": "overall_score", "op": "lt", "value": 70},
             {"field": "compliance_issues", "op": "isset", "value": true}]}

Fields, operators, and values are those of the filters, and the database evaluates them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import reduce
from operator import and_, or_
from typing import Any

from django.db.models import Q
from django.http import QueryDict

from .errors import BadValueError, FilterError
from .filterset import Condition, condition_of, unsupported
from .grammar import GROUPS, IS, OPERATORS, ValueKind, parameter_name, split_group, split_name
from .labels import condition_text
from .sources import FieldSource

Document = dict[str, Any]

MAX_CONDITIONS = 50
MAX_DEPTH = 5
_JOIN: dict[str, Callable[[Q, Q], Q]] = {"any": or_, "all": and_}
_WORD = {"any": " or ", "all": " and "}
_KEYS = {"field", "op", "value"}


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule that was understood in full.

    ``document`` is its normal form, ``q`` the condition on conversations, ``conditions`` are its
    parts in order, and ``text`` is the rule in words: “Score < 70 or (Topic is billing and …)”.
    """

    document: Document
    q: Q
    conditions: tuple[Condition, ...]
    text: str

    @property
    def fields(self) -> frozenset[str]:
        """Return the names of the fields that it reads, as filters call them."""
        return frozenset(condition.field.name for condition in self.conditions)


@dataclass(frozen=True, slots=True)
class _Part:
    document: Document
    q: Q
    text: str
    conditions: tuple[Condition, ...]


def read_rule(document: object, *, source: FieldSource, path: str = "when") -> Rule:
    """Understand a rule in full. Raises FilterError with a message for each wrong part.

    Messages are by path, such as ``when.any[1].value``.
    """
    errors: dict[str, str] = {}
    part = _read(document, source, path, errors, depth=1)
    if part and len(part.conditions) > MAX_CONDITIONS:
        errors[path] = f"A rule has at most {MAX_CONDITIONS} conditions."
    if errors or part is None:
        raise FilterError(errors)
    return Rule(part.document, part.q, part.conditions, part.text)


def rule_of_params(params: Mapping[str, Sequence[str]], *, source: FieldSource) -> Document:
    """Return the document that filter parameters mean; it is not checked.

    A parameter outside of a group has to match, of those of a group any.
    """
    parts: list[Document] = []
    groups: dict[str, list[Document]] = {}
    for parameter in params:
        given = params.getlist(parameter) if isinstance(params, QueryDict) else params[parameter]
        group, rest = split_group(parameter)
        leaf = _leaf(rest, list(given), source)
        if not group:
            parts.append(leaf)
        elif group in groups:
            groups[group].append(leaf)
        else:
            groups[group] = [leaf]
            parts.append({"any": groups[group]})
    return parts[0] if len(parts) == 1 else {"all": parts}


def params_of_rule(document: Document) -> QueryDict | None:
    """Return the filter parameters of a rule's normal form.

    None for a rule that is nested deeper than rows can show, or in which a parameter occurs twice.
    """
    params = QueryDict(mutable=True)
    names = iter(GROUPS)
    parts = document.get("all", [document])
    for part in parts:
        group = "" if "field" in part else next(names, None)
        if group is None or "all" in part:
            return None
        for leaf in part.get("any", [part]):
            if "field" not in leaf:
                return None
            name = parameter_name(group, leaf["field"], leaf["op"])
            if name in params:
                return None
            params.setlist(name, _texts(leaf["value"]))
    return params


def _read(
    node: object, source: FieldSource, path: str, errors: dict[str, str], *, depth: int
) -> _Part | None:
    if not isinstance(node, Mapping):
        errors[path] = f"{path} must be an object with field, op, and value, or with any or all."
        return None
    for kind in ("any", "all"):
        if kind in node:
            return _read_group(node, kind, source, path, errors, depth=depth)
    if unknown := sorted(str(key) for key in node.keys() - _KEYS):
        errors[f"{path}.{unknown[0]}"] = f"{path} has an unknown key “{unknown[0][:60]}”."
        return None
    return _read_condition(node, source, path, errors)


def _read_group(
    node: Mapping[str, Any],
    kind: str,
    source: FieldSource,
    path: str,
    errors: dict[str, str],
    *,
    depth: int,
) -> _Part | None:
    here = f"{path}.{kind}"
    items = node[kind]
    problem = ""
    if len(node) > 1:
        problem = f"{path} takes either any or all, and nothing else."
    elif not isinstance(items, list) or not items:
        problem = f"{here} must be a list of at least one condition."
    elif depth > MAX_DEPTH:
        problem = f"Conditions can be nested {MAX_DEPTH} deep."
    if problem:
        errors[here] = problem
        return None
    found = [
        _read(item, source, f"{here}[{place}]", errors, depth=depth + 1)
        for place, item in enumerate(items)
    ]
    parts = [part for part in found if part is not None]
    if len(parts) < len(found):
        return None
    if len(parts) == 1:
        return parts[0]
    return _Part(
        {kind: [part.document for part in parts]},
        reduce(_JOIN[kind], [part.q for part in parts]),
        _WORD[kind].join(_inside(part) for part in parts),
        tuple(condition for part in parts for condition in part.conditions),
    )


def _inside(part: _Part) -> str:
    return part.text if "field" in part.document else f"({part.text})"


def _read_condition(
    node: Mapping[str, Any], source: FieldSource, path: str, errors: dict[str, str]
) -> _Part | None:
    name, operator = node.get("field"), node.get("op", IS)
    operator = IS if operator == "is" else operator
    field = source.named(name) if isinstance(name, str) and "\x00" not in name else None
    if field is None:
        shown = f" “{name[:60]}”" if isinstance(name, str) and name else ""
        errors[f"{path}.field"] = f"{path}.field: there is no field{shown} to compare."
    elif operator not in OPERATORS:
        known = ", ".join(item or "is" for item in field.operators)
        errors[f"{path}.op"] = f"{path}.op must be one of {known}."
    elif problem := unsupported(field, operator):
        errors[f"{path}.op"] = problem
    else:
        try:
            condition = condition_of(field, operator, _given(node.get("value"), operator))
        except BadValueError as error:
            errors[f"{path}.value"] = str(error)
        else:
            return _part_of(condition)
    return None


def _part_of(condition: Condition) -> _Part:
    document = {
        "field": condition.field.name,
        "op": condition.operator,
        "value": _value(condition.field.kinds, condition.operator, condition.values),
    }
    return _Part(document, condition.q, condition_text(condition), (condition,))


def _given(value: object, operator: str) -> list[str]:
    """Return the values of a condition as texts. Raises BadValueError for any other type."""
    items = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str | int | float) for item in items):
        raise BadValueError("A value is text, a number, true, false, or a list of those.")
    texts = _texts(items)
    if operator == "between" and len(texts) == 2:
        return [",".join(texts)]
    return texts


def _leaf(parameter: str, given: Sequence[str], source: FieldSource) -> Document:
    name, operator = split_name(parameter)
    field = source.named(name)
    kinds = field.kinds if field else ()
    return {"field": name, "op": operator, "value": _value(kinds, operator, given)}


def _value(kinds: tuple[ValueKind, ...], operator: str, given: Sequence[str]) -> Any:
    """Return values as JSON has them: a single one as it is, several as a list."""
    items = [_typed(kinds, operator, text) for text in given]
    return items[0] if len(items) == 1 else items


def _typed(kinds: tuple[ValueKind, ...], operator: str, text: str) -> object:
    """Return a number or a yes or no as itself, where the text of it is the same again."""
    if (operator == "isset" or kinds == (ValueKind.YES_NO,)) and text in {"true", "false"}:
        return text == "true"
    if kinds == (ValueKind.NUMBER,):
        for number in _numbers(text):
            if _text(number) == text:
                return number
    return text


def _numbers(text: str) -> Iterator[int | float]:
    if text.lstrip("-").isdecimal() and len(text) < 16:
        yield int(text)
    elif len(text) < 16 and text.replace(".", "", 1).lstrip("-").isdecimal():
        yield float(Decimal(text))


def _texts(value: object) -> list[str]:
    return [_text(item) for item in (value if isinstance(value, list) else [value])]


def _text(value: object) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)
