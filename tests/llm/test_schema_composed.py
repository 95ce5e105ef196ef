"""Schemas put together from parts, by hypothesis: our verdict is that of JSON Schema itself."""

from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from apps.agents.documents import BuiltIn, ConfigDocument
from apps.llm.schema import Checker, compile_strict, problems
from tests.fakes import strict_rules

quick = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    database=None,
)

_names = st.sampled_from("abcd")
_scalars = st.one_of(
    st.integers(-1, 6), st.sampled_from(["x", "yy", "zzz"]), st.booleans(), st.just(1.5)
)
_instances = st.recursive(
    _scalars,
    lambda inner: st.one_of(
        st.dictionaries(_names, inner, max_size=4), st.lists(inner, max_size=3)
    ),
    max_leaves=6,
)
_leaves = st.one_of(
    st.just({"type": "string"}),
    st.just({"type": "integer"}),
    st.just({"type": ["integer", "string"]}),
    st.just({"type": "object"}),
    st.builds(lambda v: {"const": v}, _scalars),
    st.builds(lambda v: {"enum": v}, st.lists(_scalars, min_size=1, max_size=3)),
    st.builds(lambda n: {"minimum": n}, st.integers(0, 4)),
    st.builds(lambda n: {"maximum": n}, st.integers(1, 5)),
    st.builds(lambda n: {"minLength": n}, st.integers(0, 3)),
    st.builds(lambda n: {"multipleOf": n}, st.sampled_from([2, 0.5, 3])),
    st.builds(lambda n: {"required": n}, st.lists(_names, min_size=1, max_size=2, unique=True)),
    st.builds(lambda n: {"minProperties": n}, st.integers(0, 2)),
    st.builds(
        lambda a, b: {"dependentRequired": {a: b}},
        _names,
        st.lists(_names, min_size=1, max_size=2, unique=True),
    ),
    st.just({"$ref": "#/$defs/person"}),
    st.just({"$ref": "#/$defs/tree"}),
    st.just({}),
)


def _composed(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    parts = st.lists(inner, min_size=1, max_size=3)
    fields = st.dictionaries(_names, inner, min_size=1, max_size=3)
    shapes = {
        "properties": fields,
        "allOf": parts,
        "anyOf": parts,
        "oneOf": parts,
        "not": inner,
        "items": inner,
        "additionalProperties": st.one_of(st.just(value=False), inner),
        "dependentSchemas": st.dictionaries(_names, inner, min_size=1, max_size=1),
        "type": st.sampled_from(["object", "object", "integer", "string"]),
        "required": st.lists(_names, max_size=2, unique=True),
        "$ref": st.sampled_from(["#/$defs/person", "#/$defs/tree"]),
    }

    @st.composite
    def build(draw: st.DrawFn) -> dict[str, Any]:
        chosen = draw(st.lists(st.sampled_from(sorted(shapes)), min_size=1, max_size=3))
        node = {keyword: draw(shapes[keyword]) for keyword in dict.fromkeys(chosen)}
        if draw(st.integers(0, 4)) == 0:
            node["if"] = draw(inner)
            node[draw(st.sampled_from(["then", "else"]))] = draw(inner)
        return node

    return build()


_schemas = st.recursive(_leaves, _composed, max_leaves=8)
_DEFINITIONS = {
    "person": {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {"type": "integer"}},
        "required": ["a"],
    },
    "tree": {
        "properties": {"c": {"$ref": "#/$defs/tree"}, "d": {"minimum": 2}},
        "required": ["d"],
    },
}


def _document(schema: dict[str, Any]) -> dict[str, Any]:
    document = {"type": "object", "properties": {"v": schema}, "required": ["v"]}
    return {**document, "$defs": _DEFINITIONS}


@quick
@given(_schemas, st.lists(_instances, min_size=1, max_size=12))
def test_a_field_is_judged_as_json_schema_says(
    schema: dict[str, Any], instances: list[Any]
) -> None:
    document = _document(schema)
    assume(not problems(document))
    compiled = compile_strict(document)
    if compiled.closed:
        strict_rules.check(compiled.schema)
    reference = Draft202012Validator(document)
    checker = Checker(document)
    for instance in instances:
        verdict = checker.examine({"v": instance})
        is_valid = reference.is_valid({"v": instance})
        assert (verdict.problems == []) is is_valid, (instance, verdict)
        if is_valid:
            _assert_whole([schema], instance, verdict.output.get("v"))


def _assert_whole(schemas: list[Any], instance: Any, stored: Any) -> None:
    """Everything that the schemas of a place mention is there, and so is all of a map."""
    nodes = _in_place(schemas)
    if isinstance(instance, dict):
        assert isinstance(stored, dict)
        mentioned = {name for node in nodes for name in _mentioned(node)}
        for name, value in instance.items():
            below = [n["properties"][name] for n in nodes if name in n.get("properties", {})]
            if name in stored:
                _assert_whole(below, value, stored[name])
            else:
                assert mentioned, (schemas, instance)
                assert name not in mentioned, (schemas, instance)
    elif isinstance(instance, list):
        assert isinstance(stored, list)
        assert len(instance) == len(stored)
        below = [node["items"] for node in nodes if "items" in node]
        for one, other in zip(instance, stored, strict=True):
            _assert_whole(below, one, other)
    else:
        assert instance == stored
        assert isinstance(instance, bool) is isinstance(stored, bool)


def _in_place(schemas: list[Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    stack = list(schemas)
    while stack:
        node = stack.pop()
        if not isinstance(node, dict) or any(node is other for other in found):
            continue
        found.append(node)
        stack += [_DEFINITIONS[node["$ref"].rpartition("/")[2]]] if "$ref" in node else []
        stack += [part for k in ("allOf", "anyOf", "oneOf") for part in node.get(k, [])]
        stack += [node[k] for k in ("if", "then", "else") if k in node]
        stack += node.get("dependentSchemas", {}).values()
    return found


def _mentioned(node: dict[str, Any]) -> set[str]:
    dependent = node.get("dependentRequired", {})
    names = {*node.get("properties", {}), *node.get("required", []), *dependent}
    names |= {name for rule in dependent.values() for name in rule}
    return {*names, *node.get("dependentSchemas", {})}


_roots = _composed(_schemas).filter(lambda node: node.get("type", "object") == "object")


@quick
@given(_roots, st.lists(st.dictionaries(_names, _instances, max_size=4), min_size=1, max_size=12))
def test_a_top_of_parts_is_judged_alone_and_beside_built_ins(
    schema: dict[str, Any], instances: list[dict[str, Any]]
) -> None:
    document = {**schema, "$defs": _DEFINITIONS}
    assume(not problems(document))
    built_ins = (BuiltIn("call_summary", "Sum up.", True), BuiltIn("call_successful", "?", False))
    config = ConfigDocument("voice", "m", built_ins, document)
    assume(set(config.required_names()) <= set(config.field_names()))  # else refused at save
    answer_schema = config.answer_schema()
    compiled = compile_strict(answer_schema, required_names=["call_summary"])
    assert list(compiled.schema["properties"])[:2] == ["call_summary", "call_successful"]  # type: ignore[call-overload]  # an object
    assert list(compiled.schema["properties"]) == list(config.field_names())  # type: ignore[call-overload]  # an object
    assert compiled.schema["properties"]["call_summary"]["type"] == "string"  # type: ignore[index]  # an object
    reference = Draft202012Validator(document)
    alone, beside = Checker(document), Checker(answer_schema)
    for instance in instances:
        verdict = alone.examine(instance)
        other = beside.examine({"call_summary": "Good.", **instance})
        assert sorted(other.missing_required) == sorted(verdict.missing_required)
        known = config.own_fields().keys() & instance.keys()
        if reference.is_valid(instance):
            assert other.problems == [], (instance, other)
            assert other.output == {"call_summary": "Good.", **verdict.output}
            if known or not instance:
                assert verdict.problems == [], (instance, verdict)
                assert verdict.missing_required == []
        else:
            assert verdict.problems or verdict.missing_required, (instance, verdict)
