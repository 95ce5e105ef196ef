"""Shorten a transcript to a model's context, keeping its beginning and its end."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from apps.llm.tokens import estimate_tokens

#: Tokens kept for the marks of omissions.
_MARKS = 40
#: A side of the excerpt that whole messages fill to this share is not filled further.
_FULL_ENOUGH = 0.9


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The text of a shortened transcript, and how many messages it holds in whole or in part."""

    text: str
    messages: int


@dataclass(slots=True)
class _Side:
    """One end of a transcript: its whole messages and the tokens that are left."""

    lines: int
    left: int


def beginning_and_end(lines: Sequence[str], room: int) -> Excerpt:
    """Return both ends of a transcript that is longer than `room` tokens, half the tokens each.

    ``lines`` are messages as a prompt shows them. Messages stay whole while they fit; a longer one
    is truncated inside, with a mark that counts the omitted tokens.
    """
    half = max(room - _MARKS, 0) // 2
    first = _whole(lines, half)
    last = _whole(lines[first.lines :][::-1], half)
    stop = len(lines) - last.lines
    middle = lines[first.lines : stop]
    head = first.left if first.left > half * (1 - _FULL_ENOUGH) else 0
    tail = last.left if last.left > half * (1 - _FULL_ENOUGH) else 0
    if len(middle) == 1 and head + tail:
        kept = [_cut_inside(middle[0], first.left, last.left)]
        return Excerpt("\n".join([*lines[: first.lines], *kept, *lines[stop:]]), len(lines))
    before = [_beginning(middle[0], head)] if head and middle else []
    after = [_end(middle[-1], tail)] if tail and middle else []
    omitted = len(middle) - len(before) - len(after)
    mark = [f"[… {_count(omitted, 'message')} omitted …]"] if omitted else []
    text = [*lines[: first.lines], *before, *mark, *after, *lines[stop:]]
    return Excerpt("\n".join(text), len(lines) - omitted)


def _whole(lines: Sequence[str], room: int) -> _Side:
    for number, line in enumerate(lines):
        tokens = estimate_tokens(line) + 1
        if tokens > room:
            return _Side(number, room)
        room -= tokens
    return _Side(len(lines), room)


def _beginning(line: str, room: int) -> str:
    head = line[: _longest(lambda size: line[:size], len(line), room)].rstrip()
    return f"{head} {_omitted(len(line) - len(head))}"


def _end(line: str, room: int) -> str:
    speaker, said = _speaker(line)
    size = _longest(lambda size: said[len(said) - size :], len(said), room)
    tail = said[len(said) - size :].lstrip()
    return f"{speaker}{_omitted(len(said) - len(tail))} {tail}"


def _cut_inside(line: str, head_room: int, tail_room: int) -> str:
    """Return one message without its middle."""
    speaker, said = _speaker(line)
    head = said[: _longest(lambda size: said[:size], len(said), head_room)]
    rest = said[len(head) :]
    size = _longest(lambda size: rest[len(rest) - size :], len(rest), tail_room)
    head, tail = head.rstrip(), rest[len(rest) - size :].lstrip()
    return f"{speaker}{head} {_omitted(len(said) - len(head) - len(tail))} {tail}"


def _speaker(line: str) -> tuple[str, str]:
    name, colon, said = line.partition(": ")
    return name + colon, said


def _longest(piece: Callable[[int], str], size: int, room: int) -> int:
    """Return the largest size of a piece that fits, within one percent."""
    fits, over = 0, size + 1
    while over - fits > max(1, over // 100):
        tried = (fits + over) // 2
        if estimate_tokens(piece(tried)) <= room:
            fits = tried
        else:
            over = tried
    return fits


def _omitted(characters: int) -> str:
    return f"[… {_count(characters, 'character')} omitted …]"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
