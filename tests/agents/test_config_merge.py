"""Transfers fold along the chain."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.agents.documents import BuiltIn, ConfigDocument
from apps.agents.plans import Link, merge_configs
from apps.llm.schema import problems

ONLY, BOTH = "only_destination_agent", "both_agents"


def document(
    name: str, *, fields: Any = None, required: Any = (), defs: Any = None, **root: Any
) -> ConfigDocument:
    """A document that says in every part whose it is."""
    fields = fields or {f"{name}_field": {"type": "string"}}
    root |= {"$defs": defs} if defs else {}
    return ConfigDocument(
        channel="voice",
        model=f"model-{name}",
        built_ins=(BuiltIn("call_summary", f"Summary by {name}.", True),),
        schema={"type": "object", "properties": fields, "required": list(required), **root},
        instructions=(f"Instructions of {name}.",),
        parameters={"seed": name},
        long_transcript="truncate" if name == "b" else "refuse",
    )


A, B, C = document("a"), document("b"), document("c")


def test_without_a_transfer_the_agent_itself_reads() -> None:
    assert merge_configs("A", A, []) is A


def test_only_the_transferred_agent() -> None:
    assert merge_configs("A", A, [(ONLY, "B", B)]) is B
    assert merge_configs("A", A, [(BOTH, "B", B), (ONLY, "C", C)]) is C


def test_both_agents() -> None:
    merged = merge_configs("A", A, [(BOTH, "B", B)])
    assert list(merged.own_fields()) == ["a_field", "b_field"]
    assert merged.instructions == ("Instructions of a.", "Instructions of b.")
    assert (merged.model, merged.parameters) == ("model-b", {"seed": "b"})
    assert merged.built_ins == B.built_ins
    assert merged.long_transcript == "truncate"


def test_a_chain_of_three() -> None:
    merged = merge_configs("A", A, [(BOTH, "B", B), (BOTH, "C", C)])
    assert list(merged.own_fields()) == ["a_field", "b_field", "c_field"]
    assert [i[-2] for i in merged.instructions] == ["a", "b", "c"]
    assert merged.model == "model-c"
    started_anew = merge_configs("A", A, [(ONLY, "B", B), (BOTH, "C", C)])
    assert started_anew == merge_configs("B", B, [(BOTH, "C", C)])


def test_back_to_the_first_agent_folds_like_any_chain() -> None:
    merged = merge_configs("A", A, [(BOTH, "B", B), (BOTH, "A", A)])
    assert merged.model == "model-a"
    assert set(merged.own_fields()) == {"a_field", "b_field"}
    assert merged.instructions == ("Instructions of b.", "Instructions of a.")
    assert merge_configs("A", A, [(BOTH, "B", B), (ONLY, "A", A)]) is A


def test_the_destination_wins_on_equal_names() -> None:
    source = document("a", fields={"topic": {"type": "string"}, "x": {}}, required=("topic", "x"))
    destination = document("b", fields={"topic": {"type": "boolean"}}, required=())
    merged = merge_configs("A", source, [(BOTH, "B", destination)])
    assert merged.own_fields()["topic"] == {"type": "boolean"}
    assert merged.schema["required"] == ["x"]


def test_other_keywords_at_the_root_are_the_destinations() -> None:
    source = document("a", title="A", description="of a")
    destination = document("b", title="B", additionalProperties=False)
    merged = merge_configs("A", source, [(BOTH, "B", destination)]).schema
    assert merged["title"] == "B"
    assert merged["additionalProperties"] is False
    assert "description" not in merged


def test_definitions_are_kept_apart_by_agent() -> None:
    def with_definition(name: str, kind: str) -> ConfigDocument:
        fields = {
            f"{name}_one": {"$ref": "#/$defs/thing"},
            f"{name}_list": {"type": "array", "items": {"$ref": "#/$defs/thing/properties/deep"}},
        }
        thing = {"type": "object", "properties": {"deep": {"type": kind}}}
        return document(name, fields=fields, defs={"thing": thing})

    source, destination = with_definition("a", "string"), with_definition("b", "integer")
    before = json.dumps(source.schema)
    merged = merge_configs("agt_A", source, [(BOTH, "agt_B", destination)]).schema
    assert list(merged["$defs"]) == ["agt_A.thing", "agt_B.thing"]
    assert merged["properties"]["a_one"] == {"$ref": "#/$defs/agt_A.thing"}
    assert merged["properties"]["b_list"]["items"]["$ref"] == (
        "#/$defs/agt_B.thing/properties/deep"
    )
    assert not problems(merged)
    assert json.dumps(source.schema) == before


def test_definitions_that_refer_to_each_other_and_have_odd_names() -> None:
    definitions = {
        "a/b": {"type": "array", "items": {"$ref": "#/$defs/a~1b~0"}},
        "a/b~": {"type": "string"},
    }
    source = document("a", fields={"x": {"$ref": "#/$defs/a~1b"}}, defs=definitions)
    merged = merge_configs("A", source, [(BOTH, "B", B)]).schema
    assert not problems(merged)
    assert merged["properties"]["x"]["$ref"] == "#/$defs/A.a~1b"
    assert merged["$defs"]["A.a/b"]["items"]["$ref"] == "#/$defs/A.a~1b~0"


def test_a_chain_that_returns_keeps_its_definitions_once() -> None:
    thing = {"thing": {"type": "string"}}
    source = document("a", fields={"x": {"$ref": "#/$defs/thing"}}, defs=thing)
    merged = merge_configs("A", source, [(BOTH, "B", B), (BOTH, "A", source)]).schema
    assert list(merged["$defs"]) == ["A.thing"]
    assert not problems(merged)


settings = st.sampled_from([ONLY, BOTH])
agents = st.sampled_from([("A", A), ("B", B), ("C", C)])


@given(agents, st.lists(st.tuples(settings, agents), max_size=6))
def test_any_chain_folds(first: tuple[str, ConfigDocument], chain: list[Any]) -> None:
    links: list[Link] = [(setting, name, doc) for setting, (name, doc) in chain]
    merged = merge_configs(*first, links)
    last = links[-1][2] if links else first[1]
    assert merged.model == last.model
    assert merged.instructions[-1] == last.instructions[-1]
    assert not problems(merged.schema)
    since = max((i for i, link in enumerate(links) if link[0] == ONLY), default=-1)
    heard = [links[since][2] if since >= 0 else first[1], *(d for _, _, d in links[since + 1 :])]
    assert set(merged.own_fields()) == {name for d in heard for name in d.own_fields()}
    assert len(set(merged.instructions)) == len(merged.instructions)


@pytest.mark.parametrize("setting", [ONLY, BOTH])
def test_the_same_chain_is_the_same_config(setting: str) -> None:
    first = merge_configs("A", A, [(setting, "B", B)])
    again = merge_configs("A", document("a"), [(setting, "B", document("b"))])
    assert first.sha256() == again.sha256()
