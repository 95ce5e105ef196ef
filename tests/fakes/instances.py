"""Answers that fit a schema: deterministic by a seed, varied, and cheap to make.

A schema is planned once into a tree of functions; an answer then costs microseconds per field.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from typing import Any

WORDS = [
    "the",
    "customer",
    "asked",
    "about",
    "a",
    "delayed",
    "order",
    "and",
    "the",
    "agent",
    "offered",
    "a",
    "refund",
    "after",
    "checking",
    "the",
    "account",
    "then",
    "confirmed",
    "the",
    "new",
    "delivery",
    "date",
    "and",
    "promised",
    "to",
    "call",
    "back",
    "with",
    "details",
    "of",
    "the",
    "billing",
    "problem",
    "which",
    "was",
    "caused",
    "by",
    "a",
    "duplicate",
    "charge",
    "on",
    "the",
    "card",
]
FORMATTED = {
    "date": "2025-03-{:02d}",
    "time": "10:{:02d}:00Z",
    "date-time": "2025-03-{:02d}T10:00:00Z",
    "duration": "PT{:d}M",
    "email": "person{:d}@example.com",
    "hostname": "host{:d}.example.com",
    "ipv4": "192.0.2.{:d}",
    "ipv6": "2001:db8::{:x}",
    "uuid": "00000000-0000-4000-8000-0000000000{:02x}",
}
_BOUND = re.compile(r"(Between|At least|At most) (\d+)(?: and (\d+))? characters\.")
DEEPEST = 5

Maker = Callable[["Dice", int], Any]


class Dice:
    """A small generator of numbers; ``random.Random`` takes longer to seed than an answer takes."""

    __slots__ = ("nulls", "state", "text")

    def __init__(self, seed: str, text: str = "", *, nulls: bool = True) -> None:
        self.nulls = nulls
        self.state = zlib.crc32(seed.encode("utf-8", "replace")) or 1
        self.text = text

    def below(self, n: int) -> int:
        self.state = (self.state * 1_103_515_245 + 12_345) & 0x7FFFFFFF
        return (self.state >> 8) % n


def plan(schema: dict[str, Any]) -> Maker:
    """A function that makes an instance of the schema from dice."""
    return _Planner(schema).node(schema)


class _Planner:
    def __init__(self, root: dict[str, Any]) -> None:
        self.root = root
        self.planned: dict[str, Maker] = {}

    def node(self, node: Any, name: str = "") -> Maker:
        if not isinstance(node, dict):
            return lambda dice, depth: "text"
        if "$ref" in node:
            return self.reference(node["$ref"], name)
        if "enum" in node or "const" in node:
            values = node.get("enum", [node.get("const")])
            return lambda dice, depth: values[dice.below(len(values))]
        if "anyOf" in node:
            return self.union([(branch, self.node(branch, name)) for branch in node["anyOf"]])
        types = node.get("type", "string")
        if isinstance(types, list):
            return self.union([({"type": t}, self.of_type(t, node, name)) for t in types])
        return self.of_type(types, node, name)

    def union(self, branches: list[tuple[Any, Maker]]) -> Maker:
        null = any(branch.get("type") == "null" for branch, _ in branches)
        makers = [maker for branch, maker in branches if branch.get("type") != "null"]
        if not makers:
            return lambda dice, depth: None

        def make(dice: Dice, depth: int) -> Any:
            if null and (depth > DEEPEST or (dice.nulls and dice.below(8) == 0)):
                return None
            return makers[dice.below(len(makers))](dice, depth)

        return make

    def reference(self, ref: str, name: str) -> Maker:
        if ref not in self.planned:
            self.planned[ref] = _later(self.planned, ref)
            target: Any = self.root
            for token in ref[2:].split("/") if ref != "#" else []:
                target = target[token.replace("~1", "/").replace("~0", "~")]
            self.planned[ref] = self.node(target, name)
        made = _later(self.planned, ref)
        return lambda dice, depth: made(dice, depth + 1)

    def of_type(self, kind: str, node: dict[str, Any], name: str) -> Maker:
        match kind:
            case "object":
                fields = [
                    (key, self.node(sub, key)) for key, sub in node.get("properties", {}).items()
                ]
                return lambda dice, depth: {key: make(dice, depth + 1) for key, make in fields}
            case "array":
                return self.array(node)
            case "boolean":
                return lambda dice, depth: dice.below(2) == 0
            case "integer" | "number":
                return _number(node, whole=kind == "integer")
            case "null":
                return lambda dice, depth: None
        return _text(node, name)

    def array(self, node: dict[str, Any]) -> Maker:
        item = self.node(node.get("items", {}))
        least = int(node.get("minItems", 0))
        most = int(node.get("maxItems", least + 3))
        distinct = "No item twice." in node.get("description", "")

        def make(dice: Dice, depth: int) -> list[Any]:
            size = least if depth > DEEPEST else least + dice.below(most - least + 1)
            items = [item(dice, depth + 1) for _ in range(size)]
            if distinct:
                items = list({repr(value): value for value in items}.values())
            return items

        return make


def _later(planned: dict[str, Maker], ref: str) -> Maker:
    """What is planned for a reference, looked up when it is used: a schema may be recursive."""

    def make(dice: Dice, depth: int) -> Any:
        return planned[ref](dice, depth)

    return make


def _number(node: dict[str, Any], *, whole: bool) -> Maker:
    step = node.get("multipleOf", 1 if whole else 0.5)
    low, high = node.get("minimum"), node.get("maximum")
    if "exclusiveMinimum" in node:
        low = max(node["exclusiveMinimum"] + step, low if low is not None else float("-inf"))
    if "exclusiveMaximum" in node:
        high = min(node["exclusiveMaximum"] - step, high if high is not None else float("inf"))
    if low is None:
        low = 0 if high is None else high - 100 * step
    if high is None:
        high = low + 100 * step
    first = -int(-low // step)
    last = int(high // step)

    def make(dice: Dice, depth: int) -> Any:
        if last < first:
            return int(low) if whole else low
        value = (first + dice.below(last - first + 1)) * step
        return int(value) if whole else value

    return make


def _text(node: dict[str, Any], name: str) -> Maker:
    if "format" in node:
        shape = FORMATTED[node["format"]]
        return lambda dice, depth: shape.format(1 + dice.below(28))
    if "pattern" in node:
        return _from_pattern(node["pattern"])
    least: int = 1
    most: int | None = None
    if bound := _BOUND.search(node.get("description", "")):
        numbers = [int(n) for n in bound.groups()[1:] if n]
        least = 0 if bound[1] == "At most" else numbers[0]
        most = numbers[-1] if bound[1] != "At least" else None
    from_transcript = "summary" in name

    def make(dice: Dice, depth: int) -> str:
        if from_transcript and dice.text:
            words = dice.text.split()
            start = dice.below(max(1, len(words) - 8))
            text = " ".join(words[start : start + 5 + dice.below(4)])
        else:
            start = dice.below(len(WORDS) - 6)
            text = " ".join(WORDS[start : start + 2 + dice.below(5)])
        text = text.ljust(least, "x") or "x"
        return text[:most]

    return make


def _from_pattern(pattern: str) -> Maker:
    """Texts that match a plain regular expression, by walking its parse tree."""
    from re import _parser  # the one parser of patterns there is

    tree = _parser.parse(pattern)
    return lambda dice, depth: "".join(_walk(tree, dice))


def _walk(tree: Any, dice: Dice) -> list[str]:
    made: list[str] = []
    for op, argument in tree:
        match str(op):
            case "LITERAL":
                made.append(chr(argument))
            case "NOT_LITERAL":
                made.append("a" if argument != ord("a") else "b")
            case "ANY":
                made.append("a")
            case "IN":
                made.append(_from_class(argument, dice))
            case "MAX_REPEAT" | "MIN_REPEAT":
                low, high, inner = argument
                for _ in range(low + dice.below(min(3, int(high) - low + 1))):
                    made += _walk(inner, dice)
            case "SUBPATTERN":
                made += _walk(argument[3], dice)
            case "BRANCH":
                made += _walk(argument[1][dice.below(len(argument[1]))], dice)
    return made


def _from_class(parts: Any, dice: Dice) -> str:
    chosen = [part for part in parts if str(part[0]) != "NEGATE"]
    if len(chosen) != len(parts):
        excluded = {chr(c) for op, arg in chosen for c in _span(str(op), arg)}
        return next(c for c in "abcdefghijklmnopqrstuvwxyz0123456789" if c not in excluded)
    op, argument = chosen[dice.below(len(chosen))]
    span = _span(str(op), argument)
    return chr(span[dice.below(len(span))])


def _span(op: str, argument: Any) -> list[int]:
    if op == "LITERAL":
        return [argument]
    if op == "RANGE":
        return list(range(argument[0], argument[1] + 1))
    return [ord(c) for c in {"CATEGORY_DIGIT": "0123456789", "CATEGORY_SPACE": " "}.get(
        str(argument), "abc1"
    )]  # fmt: skip
