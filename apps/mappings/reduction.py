"""Compute the value of a contact field from its contributions. Pure.

Contributions count in order of time, not of arrival. So a rerun of an old call never overwrites
the value of a newer one, and deleting the newer one brings the older value back.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from apps.contacts.values import TEXT_LIMIT, Value

from .models import Mode

SEPARATOR = "\n\n"


@dataclass(frozen=True, slots=True)
class Part:
    """One contribution. ``key`` is its primary key."""

    key: int
    at: datetime
    mode: str
    value: Value | None
    conversation_id: int | None = None
    problem: str = ""

    @property
    def order(self) -> tuple[datetime, bool, int]:
        """Return its sort key, which doesn't depend on the order of arrival."""
        by_person = self.conversation_id is None
        return (self.at, by_person, self.key if self.conversation_id is None else
                self.conversation_id)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FoldedValue:
    """A value and the contributions it comes from, the newest last.

    ``texts`` are the accumulated texts. ``is_summary``: the value is a model's summary of them.
    """

    value: Value | None
    sources: tuple[int, ...] = ()
    texts: tuple[str, ...] = ()
    is_summary: bool = False

    @property
    def digest(self) -> str:
        """Return the digest of the texts, empty if there is nothing to summarize."""
        return digest_of(self.texts) if len(self.texts) > 1 else ""


def digest_of(texts: Iterable[str]) -> str:
    """Return the identity of these texts in this order."""
    return hashlib.sha256(json.dumps(list(texts)).encode()).hexdigest()


SummaryOf = Callable[[str], str | None]


def fold(
    parts: Iterable[Part],
    *,
    base: Value | None = None,
    summary_of: SummaryOf | None = None,
) -> FoldedValue:
    """Return the value of one field of one contact.

    ``base`` comes before all contributions. ``summary_of`` returns a model's summary by the digest
    of the texts. Without a summary, the texts are joined.
    """
    held: list[tuple[int | None, Value]] = [] if base in (None, "") else [(None, base)]
    for part in sorted(parts, key=lambda part: part.order):
        if not part.problem:
            held = _after(held, part)
    if not held:
        return FoldedValue(None)
    sources = tuple(key for key, _ in held if key is not None)
    if len(held) == 1:
        return FoldedValue(held[0][1], sources)
    texts = _newest(tuple(str(value) for _, value in held))
    summary = summary_of(digest_of(texts)) if summary_of and len(texts) > 1 else None
    value = SEPARATOR.join(texts) if summary is None else summary
    return FoldedValue(value, sources, texts, is_summary=summary is not None)


def _newest(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Return the newest texts that fit into a text value together."""
    while len(texts) > 1 and len(SEPARATOR.join(texts)) > TEXT_LIMIT:
        texts = texts[1:]
    return texts


_Held = list[tuple[int | None, Value]]


def _after(held: _Held, part: Part) -> _Held:
    """Return the values after one more contribution."""
    if part.value is None:
        return [] if part.mode == Mode.OVERWRITE else held
    if part.mode == Mode.FILL_IF_EMPTY and held:
        return held
    new = (part.key, part.value)
    if part.mode != Mode.ACCUMULATE:
        return [new]
    return held if any(_same(value, part.value) for _, value in held) else [*held, new]


def _same(one: Value, other: Value) -> bool:
    return isinstance(one, bool) == isinstance(other, bool) and one == other
