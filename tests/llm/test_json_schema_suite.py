"""The JSON Schema Test Suite, draft 2020-12, through the whole path: save, send, clean, judge.

``json_schema_test_suite/draft2020-12.jsonl`` holds the official cases (MIT, see LICENSE there),
one schema with its instances per line. Each schema becomes a field of an operator's schema.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from apps.llm.schema import Checker, compile_strict, problems
from tests.fakes import strict_rules

SUITE = Path(__file__).parent / "json_schema_test_suite" / "draft2020-12.jsonl"

#: Files of the suite about what isn't promised: formats that aren't checked, and the syntax of
#: ECMA's regular expressions beyond what RE2 reads.
NOT_PROMISED = {
    *("optional/ecmascript-regex", "optional/format/ecmascript-regex", "optional/format/regex"),
    *("optional/format/idn-hostname", "optional/format/iri", "optional/format/iri-reference"),
    *("optional/format/json-pointer", "optional/format/relative-json-pointer"),
    *("optional/format/uri-reference", "optional/format/uri-template"),
}
#: Cases in which a format is "only an annotation": here it's a rule.
ANNOTATIONS = "format"


def _cases() -> list[dict[str, Any]]:
    return [json.loads(line) for line in SUITE.read_text().splitlines()]


CASES = [case for case in _cases() if case["file"] not in NOT_PROMISED]


def _below_v(node: Any) -> Any:
    """The schema with its references to itself pointing to where the field is."""
    if isinstance(node, list):
        return [_below_v(item) for item in node]
    if not isinstance(node, dict):
        return node
    moved = {k: v if k in {"const", "enum"} else _below_v(v) for k, v in node.items()}
    ref = node.get("$ref")
    if isinstance(ref, str) and (ref == "#" or ref.startswith("#/")):
        moved["$ref"] = f"#/properties/v{ref[1:]}"
    return moved


def _document(case: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {"v": _below_v(case["schema"])}, "required": ["v"]}


def _stays_empty(data: object) -> bool:
    return data is None or (isinstance(data, str) and not data.strip())


def _id(case: dict[str, Any]) -> str:
    return f"{case['file']}: {case['description']}"


@pytest.mark.parametrize("case", CASES, ids=map(_id, CASES))
def test_instances_are_judged_as_the_suite_says(case: dict[str, Any]) -> None:
    document = _document(case)
    if found := problems(document):
        assert all(problem.message.endswith(".") for problem in found)
        return
    compiled = compile_strict(document)
    if compiled.closed:
        strict_rules.check(compiled.schema)
    checker = Checker(document)
    for description, data, is_valid in case["tests"]:
        verdict = checker.examine({"v": data})
        if _stays_empty(data) and "v" not in verdict.output:
            assert verdict.missing_required == ["v"]
            continue
        if case["file"] == ANNOTATIONS and "only an annotation" in description:
            continue
        if not is_valid and _blank_is_dropped(data, verdict.output.get("v")):
            continue  # an empty optional field is no field
        assert (verdict.problems == []) is is_valid, (description, data, verdict)
        if is_valid:
            _assert_stored(case["schema"], data, verdict.output.get("v"), description)


def _blank_is_dropped(data: object, stored: object) -> bool:
    if not isinstance(data, dict) or (stored is not None and not isinstance(stored, dict)):
        return False
    gone = [value for name, value in data.items() if name not in (stored or {})]
    return bool(gone) and all(_stays_empty(value) for value in gone)


def _assert_stored(schema: Any, data: Any, stored: Any, description: str) -> None:
    """All of a valid instance is stored, but names that its schema nowhere mentions."""
    if stored == data:
        return
    assert isinstance(data, dict), (description, data, stored)
    mentioned = json.dumps(schema)
    for name, value in data.items():
        if name not in (stored or {}):
            assert _stays_empty(value) or json.dumps(name) not in mentioned, (description, name)
        else:
            assert stored[name] == value, (description, name)


#: How many schemas of the suite are refused at save, by what the message says.
REFUSED_WITH = {
    "“$id” is only allowed at the top": 48,
    "never fetched": 16,
    "is not supported": 5,
    "belongs to an older draft": 7,
    "does nothing without": 7,
    "No value can match": 4,
    "None of these alternatives": 2,
    "No value can fit": 1,
    "U+0000": 2,
    "cannot be seen": 1,
    "points to nothing": 1,
    "cannot be used": 1,
}


def test_what_is_refused_at_save_says_why() -> None:
    counts = dict.fromkeys(REFUSED_WITH, 0)
    for case in CASES:
        if found := problems(_document(case)):
            [reason] = [reason for reason in counts if reason in found[0].message]
            counts[reason] += 1
    assert counts == REFUSED_WITH


def test_most_of_the_suite_is_judged() -> None:
    judged = sum(len(c["tests"]) for c in CASES if not problems(_document(c)))
    assert judged > 1_300
