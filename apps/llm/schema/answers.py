"""Validate a model's response against the operator's own schema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache

from apps.llm.numbers import TOO_LARGE, holds_too_large
from apps.llm.schema.cleanup import Cleaner
from apps.llm.schema.nodes import Node
from apps.llm.schema.nulls import allow_nulls
from apps.llm.schema.roots import OWN_SCHEMA
from apps.llm.schema.validation import Judge

MAX_FIELD_CHARACTERS = 65_536
MAX_ANSWER_CHARACTERS = 524_288

_TOO_DEEP = "The response is nested too deeply."


@dataclass(frozen=True, slots=True)
class Verdict:
    """A validated response: values to store, required fields left empty, and problems."""

    output: dict[str, object]
    missing_required: list[str]
    problems: list[str]


class Checker:
    """One operator's schema, made ready to judge many responses. Thread-safe once built.

    Built-in categories are judged apart where the operator's schema has rules about the whole
    object, because it doesn't know them (``with_built_ins``).
    """

    def __init__(self, schema: Mapping[str, object]) -> None:
        whole = allow_nulls(deepcopy(dict(schema)))
        own = whole.pop(OWN_SCHEMA, None)
        self._order = _names(whole.get("required"))
        if isinstance(own, dict):
            self._parts = [_Part(own)]
            names = self._parts[0].cleaner.names
            fields = whole.get("properties")
            apart = fields if isinstance(fields, dict) else {}
            built_ins: Node = {k: v for k, v in apart.items() if k not in names}
            required = [name for name in self._order if name in built_ins]
            self._parts.insert(0, _Part({"properties": built_ins, "required": required}))
        else:
            self._parts = [_Part(whole)]

    def examine(self, answer: Mapping[str, object]) -> Verdict:
        """Clean, then judge. Never raises, whatever the response holds."""
        try:
            if found := list(size_problems(answer)):
                return Verdict({}, [], found)
            return self._examine(answer)
        except RecursionError:
            return Verdict({}, [], [_TOO_DEEP])

    def _examine(self, answer: Mapping[str, object]) -> Verdict:
        output: dict[str, object] = {}
        missing: list[str] = []
        problems: list[str] = []
        for part, given in self._shares(answer):
            made, lacks, wrong = part.examine(given)
            output |= made
            missing += lacks
            problems += wrong
        known = [name for name in self._order if name in missing]
        missing = [*known, *(name for name in dict.fromkeys(missing) if name not in known)]
        if not problems and self._says_nothing(answer):
            problems = [no_field(answer)]
        in_order = {name: output[name] for name in answer if name in output}
        return Verdict(in_order, missing, problems)

    def _shares(self, answer: Mapping[str, object]) -> Iterator[tuple[_Part, Mapping[str, object]]]:
        """Yield each part with the fields that are its; the last part takes what no one knows."""
        if len(self._parts) == 1:
            yield self._parts[0], answer
            return
        names = self._parts[0].cleaner.names
        yield self._parts[0], {k: v for k, v in answer.items() if k in names}
        yield self._parts[1], {k: v for k, v in answer.items() if k not in names}

    def _says_nothing(self, answer: Mapping[str, object]) -> bool:
        """Return whether a response that holds something holds nothing that was asked for."""
        if not answer or any(part.cleaner.is_open for part in self._parts):
            return False
        names = frozenset[str]().union(*(part.cleaner.names for part in self._parts))
        return bool(names) and names.isdisjoint(answer)

    def clean(self, answer: Mapping[str, object]) -> dict[str, object]:
        """Return the response without its empty fields; see ``clean`` below."""
        output: dict[str, object] = {}
        for part, given in self._shares(answer):
            output |= part.cleaner(given)
        return {name: output[name] for name in answer if name in output}

    def messages(self, output: Mapping[str, object]) -> list[str]:
        """Return the problems with a cleaned response, apart from missing fields of the root."""
        found: list[str] = []
        for part, given in self._shares(output):
            wrong, missing = part.judge.examine(given)
            found += wrong
            # Of a condition: missing in a result too, but worth a sentence.
            found += [f"{n!r} is a required property" for n in missing if n not in self._order]
        return found

    def missing(self, output: Mapping[str, object]) -> list[str]:
        """Return which required fields a cleaned response lacks."""
        found = [
            name for part, given in self._shares(output) for name in part.judge.examine(given)[1]
        ]
        known = [name for name in self._order if name in found]
        return [*known, *(name for name in found if name not in known)]


class _Part:
    """A schema that judges some of a response's fields, or all."""

    def __init__(self, schema: Node) -> None:
        self.judge = Judge(schema)
        self.cleaner = Cleaner(schema, self.judge)

    def examine(
        self, answer: Mapping[str, object]
    ) -> tuple[dict[str, object], list[str], list[str]]:
        """Clean and judge; where cleaning made a valid response invalid, it stays as it came."""
        output = self.cleaner(answer)
        problems, missing = self.judge.examine(output)
        if problems:
            for other in (_shallow(answer, output), dict(answer)):
                if other != output and self.judge.examine(other) == ([], []):
                    return other, [], []
        return output, missing, problems


def _shallow(answer: Mapping[str, object], output: Mapping[str, object]) -> dict[str, object]:
    return {name: answer[name] for name in output if name in answer}


def size_problems(output: Mapping[str, object], name: str = "") -> Iterator[str]:
    """Yield why a result is too large to be stored, one message for each reason.

    ``name`` is what the messages call it: the response, if empty.
    """
    whole = name or "The response"
    if holds_too_large(output):
        yield f"{whole} can't be stored: {TOO_LARGE}."
        return
    total = 0
    for field, value in output.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        total += len(text) + len(field)
        if len(text) > MAX_FIELD_CHARACTERS:
            yield (
                f"{name}/{field[:200]}: this has {len(text):,} characters; "
                f"the maximum is {MAX_FIELD_CHARACTERS:,}."
            )
    if total > MAX_ANSWER_CHARACTERS:
        yield f"{whole} has {total:,} characters. The maximum is {MAX_ANSWER_CHARACTERS:,}."


def no_field(answer: Mapping[str, object]) -> str:
    """Return the problem with a response that has other fields only."""
    names = ", ".join(f"“{name[:60]}”" for name in list(answer)[:5])
    return f"The response has none of the requested fields, only {names}."


def _names(value: object) -> list[str]:
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []


def checker(schema: Mapping[str, object]) -> Checker:
    """Return the checker of a schema, from a bounded cache keyed by its content."""
    return _checker(json.dumps(schema, ensure_ascii=False))


@lru_cache(maxsize=256)
def _checker(text: str) -> Checker:
    return Checker(json.loads(text))


def clean(answer: Mapping[str, object], schema: Mapping[str, object]) -> dict[str, object]:
    """Return a response without its empty values.

    This drops null and blank text of root fields and of optional nested ones, objects that become
    empty, and fields that weren't requested (unless the schema allows additional ones). An empty
    list (it means *none*), an empty choice that the schema offers, and null in a required field
    whose schema names null stay. The only conversion is a whole number written as 4.0 where the
    schema allows only whole numbers.
    """
    return checker(schema).clean(answer)


def missing_required(answer: Mapping[str, object], schema: Mapping[str, object]) -> list[str]:
    """Return the names of the required root fields that the (cleaned) response left empty."""
    return checker(schema).missing(answer)
