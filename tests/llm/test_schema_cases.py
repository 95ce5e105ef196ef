"""Schemas as operators and generators write them, with answers of every kind (our own data).

``schema_cases.json``: ``refused`` is part of the message at save; ``asks`` are the fields that the
model must be asked for, by path; ``sent`` is the exact form of some fields; ``told`` is what a
field's description must say; ``definitions`` are the names under ``$defs``. Of an answer,
``output`` is what is stored, ``missing`` what counts as missing, ``problem`` a part of what is
wrong with it.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.llm.schema import Checker, compile_strict, problems
from tests.fakes import strict_rules

CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "schema_cases.json").read_text(encoding="utf-8")
)
each = pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])


@each
def test_schema_is_taken_or_refused_with_the_true_reason(case: dict[str, Any]) -> None:
    found = problems(json.dumps(case["schema"]))
    if "refused" in case:
        assert found, "taken"
        assert case["refused"] in found[0].message
        assert found[0].message.endswith(".")
        assert found[0].line
    else:
        assert found == []
        assert problems(case["schema"]) == []


@each
def test_what_is_sent_asks_for_all_that_is_judged(case: dict[str, Any]) -> None:
    if "refused" in case:
        return
    compiled = compile_strict(case["schema"])
    if compiled.closed:
        strict_rules.check(compiled.schema)
    paths = set(_paths(compiled.schema, compiled.schema))
    assert set(case.get("asks", [])) <= paths
    fields: dict[str, Any] = compiled.schema["properties"]  # type: ignore[assignment]
    for name, sent in case.get("sent", {}).items():
        assert json.dumps(fields[name]) == json.dumps(sent)
    if "told" in case:
        name, words = case["told"]
        assert words in fields[name]["description"]
    if "definitions" in case:
        assert list(compiled.schema["$defs"]) == case["definitions"]  # type: ignore[call-overload]


def _paths(node: Any, root: Any, prefix: str = "", depth: int = 0) -> Iterator[str]:
    """The paths of all fields of a sent schema, alternatives and definitions followed."""
    if depth > 6:
        return
    if "$ref" in node:
        name = node["$ref"].removeprefix("#/$defs/")
        yield from _paths(root["$defs"][name], root, prefix, depth + 1)
    for branch in node.get("anyOf", []):
        yield from _paths(branch, root, prefix, depth + 1)
    for name, field in node.get("properties", {}).items():
        yield f"{prefix}{name}"
        yield from _paths(field, root, f"{prefix}{name}.", depth + 1)


@each
def test_answers_are_stored_whole_or_refused(case: dict[str, Any]) -> None:
    answers = case.get("answers", [])
    checker = Checker(case["schema"]) if answers else None
    for item in answers:
        assert checker
        verdict = checker.examine(item["answer"])
        if "problem" in item:
            assert item["problem"] in " ".join(verdict.problems)
            assert verdict.problems, item
            continue
        assert verdict.problems == [], item
        assert json.dumps(verdict.output) == json.dumps(item["output"])
        assert verdict.missing_required == item["missing"]
