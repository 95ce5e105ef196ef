"""The difference of two texts, for people: lines that stayed, and words within lines that did not.

Prompts are prose with long lines: a diff of whole lines would color a paragraph for one word. So
a removed line is set against the added one that took its place, and their words are compared.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Literal

Kind = Literal["same", "add", "del", "gap"]

CONTEXT = 2  # lines kept around a change
MAX_LINES = 5_000  # of one text; what is longer is compared as a whole, or it takes minutes
MAX_WORDS = 2_000  # of one line
ALIKE = 0.3  # below this share of common words two lines are two lines, not one that was edited

_WORDS = re.compile(r"\w+|\s+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of words in a line; `changed` where the other line has not got them."""

    text: str
    changed: bool = False


@dataclass(frozen=True, slots=True)
class DiffLine:
    """One line of the diff. A `gap` represents `hidden` lines that are equal on both sides."""

    kind: Kind
    pieces: tuple[Piece, ...] = ()
    hidden: int = 0


def diff_lines(before: str, after: str) -> list[DiffLine]:
    """Return all lines of the difference, long equal stretches folded into gaps. Empty if equal."""
    if before == after:
        return []
    old, new = before.splitlines(), after.splitlines()
    if max(len(old), len(new)) > MAX_LINES:
        return [*_whole("del", old), *_whole("add", new)]
    lines: list[DiffLine] = []
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    for op, old_from, old_to, new_from, new_to in matcher.get_opcodes():
        if op == "equal":
            first, last = old_from == 0, old_to == len(old)
            lines.extend(_fold(old[old_from:old_to], first=first, last=last))
        else:
            lines.extend(_replace(old[old_from:old_to], new[new_from:new_to]))
    return lines


def _whole(kind: Kind, lines: list[str]) -> Iterator[DiffLine]:
    for line in lines:
        yield DiffLine(kind, (Piece(line),))


def _fold(lines: list[str], *, first: bool, last: bool) -> Iterator[DiffLine]:
    """Equal lines: those near a change, and a gap for the rest."""
    head = 0 if first else CONTEXT
    tail = 0 if last else CONTEXT
    hidden = len(lines) - head - tail
    if hidden <= 1:
        yield from _whole("same", lines)
        return
    yield from _whole("same", lines[:head])
    yield DiffLine("gap", hidden=hidden)
    yield from _whole("same", lines[len(lines) - tail :])


def _replace(old: list[str], new: list[str]) -> Iterator[DiffLine]:
    """Removed and added lines, each removed one above the added one in its place."""
    for removed, added in zip_longest(old, new):
        if removed is None or added is None:
            yield from _whole("add" if removed is None else "del", [added or removed or ""])
            continue
        before, after = _compare(removed, added)
        yield DiffLine("del", before)
        yield DiffLine("add", after)


def _compare(removed: str, added: str) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    """Both lines in pieces; one piece each where they have too little in common to say more."""
    old, new = _WORDS.findall(removed), _WORDS.findall(added)
    if max(len(old), len(new)) <= MAX_WORDS:
        matcher = SequenceMatcher(None, old, new, autojunk=False)
        if matcher.ratio() >= ALIKE:
            blocks = matcher.get_opcodes()
            before = tuple(
                Piece("".join(old[a:b]), op != "equal") for op, a, b, _, _ in blocks if a < b
            )
            after = tuple(
                Piece("".join(new[a:b]), op != "equal") for op, _, _, a, b in blocks if a < b
            )
            return before, after
    return (Piece(removed),), (Piece(added),)
