"""Merge the edits of one editor with what another one saved (decision 0029).

Pure functions over the API's shape of a draft. There are always three documents: the *base* that
a form was filled from, the form (`mine`), and the draft as it is now (`theirs`). A value that
equals the base isn't an edit. Where both edited the same value, the form wins.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

Json = dict[str, Any]

_ABSENT: Any = object()
#: Keywords whose value is an object of names, not of keywords.
_NAMED = {"properties", "$defs", "definitions", "patternProperties", "dependentSchemas"}
#: Keywords that only make sense together: who changes one of them takes the whole field.
_KIND = ("type", "$ref", "const", "format")


def only_mine(form: Mapping[str, Any], base: Mapping[str, Any]) -> Json:
    """Return the part of a whole form that its author changed since ``base``."""
    kept: Json = {}
    for name, value in form.items():
        was = base.get(name)
        if name == "schema":
            if not same_schema(value, was):
                kept[name] = value
        elif isinstance(value, Mapping) and isinstance(was, Mapping):
            if inner := only_mine(value, was):
                kept[name] = inner
        elif _line_ends(value) != was:
            kept[name] = value
    return kept


def changes_on_top(form: Mapping[str, Any], base: Json, theirs: Json) -> Json:
    """Return the changes that bring a form's edits since `base` into the draft `theirs`.

    A schema that isn't JSON is passed on unchanged: parsing it names the problems.
    """
    changes = only_mine(form, base)
    analysis = changes.get("analysis", {})
    if "schema" in analysis:
        was, now = base["analysis"]["schema"], theirs["analysis"]["schema"]
        mine = _parsed(analysis["schema"])
        if isinstance(mine, dict) and not same_schema(was, now):
            merged = merge_schemas(was, mine, now)
            changes = {**changes, "analysis": {**analysis, "schema": merged}}
    return changes


def same_schema(given: object, before: object) -> bool:
    """Return whether two schemas, as text or value, say the same in the same order of fields."""
    if isinstance(given, str):
        given = _parsed(given)
    if not isinstance(given, dict) or not isinstance(before, dict):
        return False
    # As text, because in Python 1 equals true.
    same = json.dumps(given, sort_keys=True) == json.dumps(before, sort_keys=True)
    return same and list(_field_order(given)) == list(_field_order(before))


def merge_schemas(base: Json, mine: Json, theirs: Json) -> Json:
    """Merge two schemas that were made of ``base``: field by field, and keyword by keyword."""
    return _merge_objects(base, mine, theirs, named=False)


def _merge_objects(base: Json, mine: Json, theirs: Json, *, named: bool) -> Json:
    merged: Json = {}
    for name in _order(base, mine, theirs):
        three = (base.get(name, _ABSENT), mine.get(name, _ABSENT), theirs.get(name, _ABSENT))
        value = _pick(*three, keyword="" if named else name)
        if value is not _ABSENT:
            merged[name] = value
    if not named:
        _drop_vanished(merged, base, mine, theirs)
    return merged


def _pick(base: Any, mine: Any, theirs: Any, *, keyword: str) -> Any:
    if _same(mine, base, keyword):
        return theirs
    if _same(theirs, base, keyword) or _same(mine, theirs, keyword):
        return mine
    if keyword == "required":
        return _merge_names(base, mine, theirs)
    three = (base, mine, theirs)
    if not all(isinstance(value, dict) for value in three):
        return mine
    named = keyword in _NAMED
    if not named and any(_kinds(value) != _kinds(base) for value in three):
        return mine
    return _merge_objects(*three, named=named)


def _kinds(node: Json) -> str:
    return json.dumps([node.get(keyword) for keyword in _KIND], sort_keys=True)


def _same(one: Any, other: Any, keyword: str) -> bool:
    if one is _ABSENT or other is _ABSENT:
        return one is other
    # Wrapped, so that the order of fields counts, at this level too.
    key = "properties" if keyword == "properties" else "value"
    return same_schema({key: one}, {key: other})


def _merge_names(base: Any, mine: Any, theirs: Any) -> Any:
    """Merge two lists of required fields, as sets in the order that they have."""
    lists = [[] if value is _ABSENT else value for value in (base, mine, theirs)]
    if not all(isinstance(value, list) for value in lists):
        return mine
    was, here, there = lists
    merged = [name for name in there if name in here or name not in was]
    return merged + [name for name in here if name not in was and name not in there]


def _drop_vanished(merged: Json, *sources: Json) -> None:
    """Require no field that one of the editors removed and the other one required."""
    fields, required = merged.get("properties"), merged.get("required")
    if not isinstance(fields, dict) or not isinstance(required, list):
        return
    known = {name for source in sources for name in source.get("properties") or ()}
    merged["required"] = [
        name
        for name in required
        if not isinstance(name, str) or name in fields or name not in known
    ]


def _order(base: Json, mine: Json, theirs: Json) -> list[str]:
    """Return all names in their order, or in mine where I moved some; each by its neighbor."""
    common = [name for name in base if name in mine and name in theirs]
    moved = [name for name in mine if name in common] != common
    first, second = (mine, theirs) if moved else (theirs, mine)
    order = list(first)
    before = ""
    for name in second:
        if name not in first:
            order.insert(order.index(before) + 1 if before in order else 0, name)
        before = name
    return order


def _parsed(given: object) -> object:
    if not isinstance(given, str):
        return given
    try:
        return json.loads(given)
    except (ValueError, RecursionError):
        return None


def _field_order(node: object) -> Iterator[str]:
    """Yield the names of all fields in their order, nested ones included."""
    if isinstance(node, list):
        for item in node:
            yield from _field_order(item)
    elif isinstance(node, dict):
        properties = node.get("properties")
        if isinstance(properties, dict):
            yield from properties
        for key in sorted(node):
            yield from _field_order(node[key])


def _line_ends(value: object) -> object:
    if isinstance(value, str):
        return value.replace("\r\n", "\n").replace("\r", "\n")
    return value
