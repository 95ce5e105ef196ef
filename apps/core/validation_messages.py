"""Turn pydantic's validation errors into messages of our own, each with the path of its field."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

from pydantic import ValidationError
from pydantic_core import ErrorDetails

Kind = Literal["unknown", "missing", "type", "value"]

_RULES = {
    "bool_type": "must be true or false",
    "dict_type": "must be an object",
    "float_type": "must be a number",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "int_type": "must be a whole number",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "list_type": "must be a list",
    "model_type": "must be an object",
    "string_pattern_mismatch": "doesn't have the expected form",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must not be empty",
    "string_type": "must be a string",
    "string_unicode": "contains an invalid character (a lone surrogate)",
    "too_long": "must have at most {max_length} items",
    "too_short": "must have at least {min_length} items",
}
_KINDS: dict[str, Kind] = {"extra_forbidden": "unknown", "missing": "missing"}
_CHOICES = {"enum", "literal_error"}


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One rejected value: where it is (`side_effects.webhooks`) and the problems with it."""

    path: str
    kind: Kind
    rule: str
    """What to say of it, to be put behind its name."""
    expected: str = ""

    @property
    def message(self) -> str:
        return self.about(self.path or "The request body")

    def about(self, subject: str) -> str:
        """Return the message with another name for the field."""
        return "Unknown key." if self.kind == "unknown" else f"{subject} {self.rule}."


def problems_of(error: ValidationError, data: object) -> list[FieldProblem]:
    """Return the problems of some rejected data, unknown keys first.

    Of a value that fits none of several alternatives, the one with the fewest problems is meant.
    """
    of_alternative: dict[str, dict[str, list[FieldProblem]]] = {}
    for details in error.errors(include_url=False):
        path, fork, alternative = _place(details["loc"], data)
        group = of_alternative.setdefault(fork, {}).setdefault(alternative, [])
        group.append(_problem(details, path))
    meant = [min(groups.values(), key=len) for groups in of_alternative.values()]
    first_at: dict[str, FieldProblem] = {}
    for problem in chain.from_iterable(meant):
        first_at.setdefault(problem.path, problem)
    return sorted(first_at.values(), key=lambda problem: problem.kind != "unknown")


def summary_of(problems: Sequence[FieldProblem], expected: Sequence[str]) -> str:
    """Return one message about all problems; ``expected`` names the known keys."""
    unknown = [shown(p.path)[1:-1] for p in problems if p.kind == "unknown"]
    sentences = [p.message for p in problems if p.kind != "unknown"]
    if unknown:
        sentence = f"Unknown {'key' if len(unknown) == 1 else 'keys'}: {', '.join(unknown[:5])}."
        nested = any("." in p.path for p in problems if p.kind == "unknown")
        if expected and not nested:
            sentence += f" Expected: {', '.join(sorted(expected))}."
        sentences.insert(0, sentence)
    return " ".join(sentences[:5])


def shown(value: object) -> str:
    """Return a rejected value as a person recognizes it: quoted, printable, short."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "“true”" if value else "“false”"
    text = "".join(c if c.isprintable() else "�" for c in str(value)[:61])
    return f"“{text[:60]}…”" if len(text) > 60 else f"“{text}”"


def _problem(details: ErrorDetails, path: str) -> FieldProblem:
    kind, value = details["type"], details["input"]
    if kind == "extra_forbidden":
        return FieldProblem(path, "unknown", "")
    if kind == "missing":
        return FieldProblem(path, "missing", "is required")
    if kind in _CHOICES:
        expected = re.findall(r"'([^']*)'", details["ctx"]["expected"])
        rule = f"must be {_one_of(expected)}, not {shown(value)}"
        return FieldProblem(path, "value" if isinstance(value, str) else "type", rule)
    if rule := _RULES.get(kind, ""):
        rule = rule.format(
            **{name: _number(bound) for name, bound in details.get("ctx", {}).items()}
        )
        wrong_type = kind.endswith("_type")
        if kind not in {"string_too_long", "string_too_short", "too_long", "too_short"}:
            rule += f", not {shown(value)}"
        return FieldProblem(path, "type" if wrong_type else "value", rule)
    return FieldProblem(path, "value", details["msg"])


def _one_of(choices: Sequence[str]) -> str:
    return " or ".join(choices) if len(choices) == 2 else f"one of {', '.join(choices)}"


def _number(bound: Any) -> str:
    return f"{bound:,g}" if isinstance(bound, int | float) else str(bound)


def _place(location: Sequence[str | int], data: object) -> tuple[str, str, str]:
    """Return the path in the data, and of a union where it forks and the name of the alternative.

    Pydantic puts that name into the location of an error. It is not in the data.
    """
    names: list[str] = []
    fork, alternative = "", ""
    for position, step in enumerate(location):
        is_new_key = isinstance(data, dict) and position == len(location) - 1
        if isinstance(data, dict) and (step in data or is_new_key):
            data = data.get(step)
        elif isinstance(data, list) and isinstance(step, int):
            data = data[step]
        else:
            fork, alternative = ".".join(names), str(step)
            continue
        names.append(str(step)[:60])
    return ".".join(names), fork, alternative
