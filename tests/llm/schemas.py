"""Schemas as operators write them, written by hypothesis; and some written by hand."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

SUPPORT = {
    "type": "object",
    "properties": {
        "summary": {"type": "string", "description": "What happened", "maxLength": 500},
        "topic": {"type": "string", "enum": ["billing", "technical_support", "other"]},
        "resolved": {"type": "boolean"},
        "effort": {"type": "integer", "minimum": 1, "maximum": 5},
        "issues": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["summary", "topic"],
}

_names = st.text("abcdefghij_äß 中", min_size=1, max_size=8).filter(str.strip)
_descriptions = st.sampled_from(["", "What the customer wants", "一句话", 'With "quotes" and {x}'])
_words = st.text("abcdefg éß中", min_size=1, max_size=6).filter(str.strip)


@st.composite
def _text(draw: st.DrawFn) -> dict[str, Any]:
    node: dict[str, Any] = draw(st.sampled_from([{"type": "string"}, {}, {"type": "string"}]))
    node = dict(node)
    kind = draw(st.sampled_from(["plain", "length", "format", "pattern", "examples"]))
    if kind == "length":
        node["minLength"] = draw(st.integers(0, 4))
        node["maxLength"] = node["minLength"] + draw(st.integers(0, 8))
    elif kind == "format":
        node["format"] = draw(st.sampled_from(["date", "email", "uuid", "date-time", "ipv4"]))
    elif kind == "pattern":
        node["pattern"] = draw(st.sampled_from([r"^[A-Z]{2}-\d{3,5}$", r"^(a|bc)+$", r"^\w+$"]))
    elif kind == "examples":
        node["examples"] = draw(st.lists(_words, min_size=1, max_size=3))
    return node


@st.composite
def _number(draw: st.DrawFn) -> dict[str, Any]:
    node: dict[str, Any] = {"type": draw(st.sampled_from(["integer", "number"]))}
    if draw(st.booleans()):
        node["minimum"] = draw(st.integers(-10, 10))
        node["maximum"] = node["minimum"] + draw(st.integers(0, 20))
    elif draw(st.booleans()):
        node["exclusiveMinimum"] = draw(st.integers(-5, 5))
    return node


_choices = st.one_of(
    st.lists(_words, min_size=1, max_size=4, unique=True).map(lambda v: {"enum": v}),
    st.lists(_words, min_size=1, max_size=4, unique=True).map(
        lambda v: {"type": "string", "enum": v}
    ),
    st.just({"type": ["integer", "null"], "enum": [1, 2, None]}),
    st.just({"const": "only"}),
)
_leaves = st.one_of(
    _text(),
    _number(),
    _choices,
    st.just({"type": "boolean"}),
    st.just({"type": ["string", "null"]}),
)


def _objects(children: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    @st.composite
    def build(draw: st.DrawFn) -> dict[str, Any]:
        fields = draw(st.dictionaries(_names, children, min_size=1, max_size=4))
        node: dict[str, Any] = {"type": "object", "properties": fields}
        if draw(st.booleans()):
            node["required"] = draw(st.lists(st.sampled_from(sorted(fields)), unique=True))
        if draw(st.booleans()):
            node["additionalProperties"] = False
        return node

    return build()


@st.composite
def _arrays(draw: st.DrawFn, children: st.SearchStrategy[dict[str, Any]]) -> dict[str, Any]:
    node: dict[str, Any] = {"type": "array", "items": draw(children)}
    if draw(st.booleans()):
        node["minItems"] = draw(st.integers(0, 2))
        node["maxItems"] = node["minItems"] + draw(st.integers(0, 3))
    return node


@st.composite
def _described(draw: st.DrawFn, children: st.SearchStrategy[dict[str, Any]]) -> dict[str, Any]:
    node = dict(draw(children))
    if text := draw(_descriptions):
        node["description"] = text
    if draw(st.booleans()):
        node["title"] = "A title"
    if draw(st.integers(0, 3)) == 0:
        node["x-condition"] = "only if it matters"
    return node


def _all_of(children: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return _objects(children).map(
        lambda node: {"allOf": [{"type": "object", "properties": node["properties"]}, {
            "required": node.get("required", [])}]}
    )  # fmt: skip


def _any_of(children: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.lists(children, min_size=1, max_size=3).map(lambda nodes: {"anyOf": nodes})


_fields = st.recursive(
    _leaves,
    lambda children: st.one_of(
        _objects(children),
        _arrays(children),
        _any_of(children),
        _all_of(children),
        _described(children),
        st.just({"$ref": "#/$defs/shared"}),
        st.just({"$ref": "#/$defs/tree", "description": "Of things"}),
    ),
    max_leaves=8,
)

_DEFINITIONS = {
    "shared": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
    "tree": {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "below": {"type": "array", "items": {"$ref": "#/$defs/tree"}},
        },
    },
}


@st.composite
def operator_schemas(draw: st.DrawFn) -> dict[str, Any]:
    """Object schemas of the kinds that people write: nested, referring, with odd names."""
    fields = draw(st.dictionaries(_names, _described(_fields), min_size=1, max_size=6))
    schema: dict[str, Any] = {"type": "object", "properties": fields}
    if draw(st.booleans()):
        schema["required"] = draw(st.lists(st.sampled_from(sorted(fields)), unique=True))
    schema["$defs"] = _DEFINITIONS
    return schema
