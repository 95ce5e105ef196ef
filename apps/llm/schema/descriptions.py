"""What a model can only be told in words: examples, conditions, and rules it is not held to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

_ENDS = ".!?:;)。\uff01\uff1f"  # the last two are the full-width ! and ?
_SHOWN = 200
_BRANCHES = 20
_URL = "A full address with its scheme, such as https://example.com/page."
_FORMATS = {"uri": _URL, "url": _URL}

#: Formats that strict mode takes as a keyword.
SENT_FORMATS = frozenset(
    ("date", "time", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "uuid")
)


def describe(
    nodes: Iterable[Mapping[str, object]], *, conditional: bool, whole: bool = False
) -> str:
    """Return the description of a place with all that strict mode has no keyword for.

    Of several schemas of one place the first description, condition and examples count, and every
    rule. ``conditional`` says whether ``x-condition`` applies; on a required field it is ignored.
    ``whole`` marks the top of a schema, whose alternatives are sent as one list of fields.
    """
    listed = list(nodes)
    parts = [_first(_sentence(node.get("description") or node.get("title")) for node in listed)]
    condition = _first(_sentence(node.get("x-condition")) for node in listed)
    if conditional and condition:
        parts.append(f"Only fill this in under this condition, else null: {condition}")
    examples = next((e for node in listed if isinstance(e := node.get("examples"), list) and e), [])
    if examples:
        shown = ", ".join(_json(example) for example in examples[:10])
        parts.append(f"Examples: {shown}.")
    for node in listed:
        parts += _rules(node)
        parts += _whole_choice(node) if whole else _choice(node)
    parts += _beyond_the_first(listed)
    return " ".join(dict.fromkeys(part for part in parts if part))


def _first(texts: Iterable[str]) -> str:
    return next((text for text in texts if text), "")


def _sentence(value: object) -> str:
    text = value.strip() if isinstance(value, str) else ""
    return text if not text or text[-1] in _ENDS else f"{text}."


def _json(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _rules(node: Mapping[str, object]) -> list[str]:
    found = _span(node, "minLength", "maxLength", "characters")
    if node.get("uniqueItems") is True:
        found.append("No item twice.")
    format_name = node.get("format")
    if isinstance(format_name, str) and format_name not in SENT_FORMATS:
        found.append(_FORMATS.get(format_name, f"Format: {format_name[:_SHOWN]}."))
    if "contains" in node:
        found += _contains(node)
    if "not" in node:
        found.append(f"It must not fit {_json(node['not'])}.")
    if "propertyNames" in node:
        found.append(f"Its names must fit {_json(node['propertyNames'])}.")
    found += _span(node, "minProperties", "maxProperties", "filled-in fields")
    found += _places(node) + _conditions(node)
    return found


def _span(node: Mapping[str, object], low: str, high: str, what: str) -> list[str]:
    least, most = node.get(low), node.get(high)
    if least and most:
        return [f"Between {least} and {most} {what}."]
    if least:
        return [f"At least {least} {what}."]
    return [] if most is None else [f"At most {most} {what}."]


def _contains(node: Mapping[str, object]) -> list[str]:
    least, most = node.get("minContains", 1), node.get("maxContains")
    how_many = f"at least {least}" if most is None else f"{least} to {most}"
    return [f"Of its items {how_many} must fit {_json(node['contains'])}."]


def _places(node: Mapping[str, object]) -> list[str]:
    places = node.get("prefixItems")
    if not isinstance(places, list) or len(places) < 2:
        return []
    return [f"Its items in this order: {_json(places)}."]


def _conditions(node: Mapping[str, object]) -> list[str]:
    found = []
    if node.get("if") not in (None, True, {}):
        for keyword, word in (("then", "If"), ("else", "Unless")):
            if node.get(keyword) not in (None, True, {}):
                found.append(f"{word} it fits {_json(node['if'])}, it must fit "
                             f"{_json(node[keyword])}.")  # fmt: skip
    dependent = node.get("dependentRequired")
    for name, names in dependent.items() if isinstance(dependent, dict) else ():
        if names:
            found.append(f"Where “{name}” is filled in, so must be {_json(names)[1:-1]}.")
    schemas = node.get("dependentSchemas")
    for name, schema in schemas.items() if isinstance(schemas, dict) else ():
        found.append(f"Where “{name}” is filled in, it must fit {_json(schema)}.")
    return found


def _choice(node: Mapping[str, object]) -> list[str]:
    branches = node.get("oneOf")
    if isinstance(branches, list) and len(branches) > 1 and not _are_distinct(branches):
        return ["Exactly one of its alternatives may fit."]
    return []


def _whole_choice(node: Mapping[str, object]) -> list[str]:
    found = []
    for keyword, how in (("anyOf", "At least one"), ("oneOf", "Exactly one")):
        branches = node.get(keyword)
        if isinstance(branches, list) and len(branches) > 1:
            listed = " or ".join(_json(branch) for branch in branches[:_BRANCHES])
            found.append(f"{how} of these must fit the whole, with null elsewhere: {listed}.")
    return found


def _are_distinct(branches: Sequence[object]) -> bool:
    """Whether types or constants keep alternatives apart, so that never two of them fit."""
    nodes = [branch for branch in branches if isinstance(branch, dict)]
    types = [node.get("type") for node in nodes]
    named = [name for name in types if isinstance(name, str)]
    alike = {"number", "integer"} <= set(named)
    if len(nodes) == len(branches) == len(named) == len(set(named)) and not alike:
        return True
    return all("const" in node or "enum" in node for node in nodes) or _has_tag(nodes)


def _has_tag(nodes: Sequence[Mapping[str, object]]) -> bool:
    """Whether a field holds another constant in each of these objects."""
    constants: list[set[tuple[str, str]]] = []
    for node in nodes:
        fields = node.get("properties")
        found = fields.items() if isinstance(fields, dict) else ()
        constants.append(
            {(name, _json(f["const"])) for name, f in found if isinstance(f, dict) and "const" in f}
        )
    tags = {name for name, _value in constants[0]} if constants else set()
    return any(
        all(any(tag == name for name, _ in values) for values in constants)
        and len({pair for values in constants for pair in values if pair[0] == tag}) == len(nodes)
        for tag in tags
    )


def _beyond_the_first(nodes: Sequence[Mapping[str, object]]) -> list[str]:
    """Patterns and steps of which strict mode takes one, where several schemas have one each."""
    found = []
    for keyword, words in (("pattern", "must also match"), ("multipleOf", "must be a multiple of")):
        values = list(dict.fromkeys(_json(node[keyword]) for node in nodes if keyword in node))
        found += [f"It {words} {value}." for value in values[1:]]
    return found
