"""Reading JSON text for a person: every fault with its line and column."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from apps.llm.numbers import (
    TOO_LARGE,
    NumberTooLargeError,
    is_too_large,
    parse_float,
    parse_int,
)
from apps.llm.schema.nodes import escape

MAX_CHARACTERS = 500_000
MAX_NESTING = 100
MAX_DUPLICATES = 20
"""Finding a line counts all lines before it: with every name twice that would be quadratic."""

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+', re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is in the way of a schema.

    ``pointer`` is a JSON Pointer into the document (``""`` is the whole); ``line`` and ``column``
    count from 1 and are ``None`` where there is no text to point into.
    """

    pointer: str
    message: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        place = f"line {self.line}, column {self.column}: " if self.line else ""
        return f"{place}{self.message}"


class SchemaError(ValueError):
    """The schema cannot be compiled. ``problems`` says why, place by place."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(problem.message for problem in problems[:3]))
        self.problems = problems


class _Refused(ValueError):
    pass


def _refuse_constant(name: str) -> object:
    raise _Refused(f"{name} is not a number in JSON.")


def _too_long(length: int) -> Problem:
    return Problem("", f"The schema has {length:,} characters. The maximum is {MAX_CHARACTERS:,}.")


def size_problems(value: object) -> list[Problem]:
    """Return the problems with the size of a schema that came as a value."""
    length = len(json.dumps(value, ensure_ascii=False))
    return [_too_long(length)] if length > MAX_CHARACTERS else []


def parse(text: str) -> tuple[object, list[Problem]]:
    """The value of a JSON text and the problems with it; the value is ``None`` if unreadable."""
    if len(text) > MAX_CHARACTERS:
        return None, [_too_long(len(text))]
    duplicates = False

    def pairs(items: list[tuple[str, object]]) -> dict[str, object]:
        nonlocal duplicates
        result = dict(items)
        duplicates = duplicates or len(result) != len(items)
        return result

    try:
        value = json.loads(
            text,
            object_pairs_hook=pairs,
            parse_constant=_refuse_constant,
            parse_int=parse_int,
            parse_float=parse_float,
        )
    except json.JSONDecodeError as error:
        return None, [
            Problem("", f"This is not JSON: {_lower(error.msg)}.", error.lineno, error.colno)
        ]
    except RecursionError:
        return None, [Problem("", f"The schema is nested deeper than {MAX_NESTING} levels.")]
    except NumberTooLargeError as error:
        return None, [Problem("", f"This can't be used: {error}.")]
    except ValueError as error:
        return None, [Problem("", f"This is not JSON: {error}")]
    problems = value_problems(value)
    if duplicates and not problems:
        problems = _duplicate_keys(text)
    return value, problems


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]


def value_problems(value: object) -> list[Problem]:
    """Nesting, and characters that neither PostgreSQL nor a server can take."""
    stack: list[tuple[str, object, int]] = [("", value, 1)]
    while stack:
        pointer, item, level = stack.pop()
        if isinstance(item, str):
            if reason := _bad_text(item):
                return [Problem(pointer, reason)]
        elif is_too_large(item):
            return [Problem(pointer, f"This can't be used: {TOO_LARGE}.")]
        elif isinstance(item, dict | list):
            if level > MAX_NESTING:
                return [Problem("", f"The schema is nested deeper than {MAX_NESTING} levels.")]
            if isinstance(item, list):
                stack.extend((f"{pointer}/{i}", child, level + 1) for i, child in enumerate(item))
                continue
            for key, child in item.items():
                if not isinstance(key, str) or _bad_text(key):
                    return [Problem(pointer, "A name here contains an invalid character.")]
                stack.append((f"{pointer}/{escape(key)}", child, level + 1))
    return []


def _bad_text(text: str) -> str | None:
    if "\x00" in text:
        return "The text holds the character U+0000, which cannot be stored."
    if _SURROGATE.search(text):
        return "The text contains an invalid character (a lone surrogate)."
    return None


def locate(text: str, problems: list[Problem]) -> list[Problem]:
    """Return the same problems with line and column, found by their pointers."""
    wanted = {problem.pointer for problem in problems if problem.line is None}
    if not wanted:
        return problems
    places: dict[str, int] = {}
    for pointer, offset, _again in _positions(text) if wanted != {""} else ():
        if pointer in wanted:
            places.setdefault(pointer, offset)
    located = []
    for problem in problems:
        line, column = problem.line, problem.column
        if line is None:
            line, column = _line_column(text, places.get(problem.pointer, 0))
        located.append(Problem(problem.pointer, problem.message, line, column))
    return located


def _duplicate_keys(text: str) -> list[Problem]:
    problems: list[Problem] = []
    for pointer, offset, again in _positions(text):
        if again and len(problems) < MAX_DUPLICATES:
            line, column = _line_column(text, offset)
            name = pointer.rpartition("/")[2].replace("~1", "/").replace("~0", "~")
            problems.append(Problem(pointer, f"The name “{name}” occurs twice here.", line, column))
    return problems


def _line_column(text: str, offset: int) -> tuple[int, int]:
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def _positions(text: str) -> list[tuple[str, int, bool]]:
    """``(pointer, offset, seen before)`` of every member and item of a valid JSON text.

    The offset of a member is that of its name, of an item that of its value.
    """
    found: list[tuple[str, int, bool]] = [("", len(text) - len(text.lstrip()), False)]
    # Of each open container: its pointer, the names seen (objects) or the next index (lists).
    stack: list[tuple[str, set[str] | None, list[int]]] = []
    pointer, expect_key = "", False
    for match in _TOKEN.finditer(text):
        piece = match.group()
        if expect_key and piece[0] == '"':
            base, names, _ = stack[-1]
            name = json.loads(piece)
            pointer = f"{base}/{escape(name)}"
            assert names is not None
            found.append((pointer, match.start(), name in names))
            names.add(name)
            expect_key = False
            continue
        if piece in ":,":
            expect_key = piece == "," and bool(stack) and stack[-1][1] is not None
            continue
        if piece in "}]":
            stack.pop()
            expect_key = False
            continue
        if stack and stack[-1][1] is None:
            base, _, index = stack[-1]
            pointer = f"{base}/{index[0]}"
            index[0] += 1
            found.append((pointer, match.start(), False))
        if piece == "{":
            stack.append((pointer, set(), [0]))
            expect_key = True
        elif piece == "[":
            stack.append((pointer, None, [0]))
    return found
