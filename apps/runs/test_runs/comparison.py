"""A test run as a page shows it: each conversation side by side, and each field over all."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.db.models import F, Func, JSONField

from apps.analysis import transcript
from apps.analysis.pages import title_of
from apps.analysis.presentation import Change, field_schemas, schemas_of, value_of
from apps.analysis.results import changed_fields
from apps.conversations.models import Conversation, Transcript
from apps.core import display
from apps.runs.models import Run, RunItem

#: Messages of a transcript that are shown at first, and characters of each.
EXCERPT_MESSAGES = 6
EXCERPT_CLIP = 320
#: Values of a field that are told apart; the rest is counted together.
VALUES_SHOWN = 6
_LONGEST_VALUE = 60


@dataclass(frozen=True, slots=True)
class Side:
    """What a field holds over the conversations tried: how often it is filled, and with what.

    ``gaps`` says of the conversations that hold no value why not: *No result yet*, *Empty*.
    """

    filled: int
    of: int
    counts: tuple[tuple[str, int], ...] = ()
    note: str = ""
    gaps: tuple[tuple[str, int], ...] = ()

    @property
    def scale(self) -> int:
        """What a full bar is: all conversations, or more where a list holds a value twice."""
        return max([self.of, *(count for _, count in self.counts)])


@dataclass(frozen=True, slots=True)
class FieldSummary:
    """One field over the conversations of a test run that are finished: the same ones on both
    sides. ``of`` counts those that have both results, which alone can have changed."""

    name: str
    before: Side
    after: Side
    changed: int
    of: int


@dataclass(frozen=True, slots=True)
class Failure:
    """A conversation that the draft could not read, as the head of the page names it."""

    item: RunItem
    title: str


@dataclass(frozen=True, slots=True)
class Compared:
    """One conversation of a test run: the previous result and the draft's result."""

    item: RunItem
    title: str
    excerpt: tuple[transcript.TranscriptLine, ...]
    messages: int
    changed: tuple[Change, ...]
    same: tuple[Change, ...]

    @property
    def took(self) -> str:
        """The time of its requests: “1.4 s”."""
        return f"{(self.item.latency_ms or 0) / 1000:.1f} s"

    @property
    def total(self) -> int:
        return len(self.changed) + len(self.same)


def items_of(trial: Run) -> list[RunItem]:
    """Return the items with everything that the page shows of them, in one query."""
    rows = trial.items.order_by("position").select_related(
        "conversation__agent",
        "conversation__contact",
        "config__model",
        "agent_version__agent",
        "previous_analysis__config",
        "previous_analysis__agent_version__config",
        "previous_analysis__agent_version__agent",
    )
    return list(rows.defer("conversation__analysis_data", "previous_analysis__raw_output"))


def compared(items: Iterable[RunItem], derived: Mapping[str, Any]) -> list[Compared]:
    """Return each item and the result before, with the first messages of its transcript.

    ``derived`` are the schemas of derived fields.
    """
    rows = list(items)
    begun = _beginnings([conversation_of(item).pk for item in rows])
    return [_compared(item, begun.get(conversation_of(item).pk, []), derived) for item in rows]


def conversation_of(item: RunItem) -> Conversation:
    """Return the conversation of a test run's item, which is deleted together with it."""
    assert item.conversation is not None
    return item.conversation


def _compared(
    item: RunItem, messages: list[transcript.Message], derived: Mapping[str, Any]
) -> Compared:
    changes = changes_of(item, derived) if item.state == "done" else []
    conversation = conversation_of(item)
    scene = transcript.Scene(channel=conversation.channel, started_at=conversation.started_at)
    shown = transcript.window(messages, scene).lines
    return Compared(
        item=item,
        title=title_of(conversation, messages),
        excerpt=shown,
        messages=conversation.message_count,
        changed=tuple(change for change in changes if change.changed),
        same=tuple(change for change in changes if not change.changed),
    )


def changes_of(item: RunItem, derived: Mapping[str, Any]) -> list[Change]:
    """Return every field of the draft and of the result before, the changed ones first."""
    old, new = _before(item), item.output or {}
    asked = _schemas(item)
    schemas = {**derived, **asked}
    differing = set(changed_fields(old, new))
    names = [*asked, *(name for name in [*new, *old] if name not in asked)]
    rows = [
        Change(
            name,
            item.previous_analysis is not None and name in differing,
            value_of(old.get(name), schemas.get(name)),
            value_of(new.get(name), schemas.get(name)),
        )
        for name in dict.fromkeys(names)
        if name in old or name in new or name in _asked(item)
    ]
    return sorted(rows, key=lambda change: not change.changed)


def failures(items: Iterable[RunItem]) -> list[Failure]:
    """Return the failed items with the titles of their conversations."""
    rows = [item for item in items if item.state == "failed"]
    conversations = {item.pk: conversation_of(item) for item in rows}
    begun = _beginnings([c.pk for c in conversations.values()]) if rows else {}
    return [
        Failure(item, title_of(c := conversations[item.pk], begun.get(c.pk, []))) for item in rows
    ]


def summaries(items: Iterable[RunItem], derived: Mapping[str, Any]) -> list[FieldSummary]:
    """Return each field over the finished conversations: filled how often, with what, changed.

    Both sides count the same conversations. One without a result, or whose result never asked for
    the field, is a gap of that side.
    """
    rows = [item for item in items if item.state in {"done", "failed"}]
    names: dict[str, None] = {}
    for item in rows:
        if item.state == "done":
            names |= dict.fromkeys([*_asked(item), *(item.output or {}), *_before(item)])
    return [_summary(name, rows, derived) for name in names]


def _summary(name: str, rows: Sequence[RunItem], derived: Mapping[str, Any]) -> FieldSummary:
    schemas: Mapping[str, Any] = derived
    for item in rows:
        schemas = {**_schemas(item), **schemas}
    told_apart = _has_few_values(schemas.get(name))
    both = [item for item in rows if item.previous_analysis is not None and item.state == "done"]
    return FieldSummary(
        name=name,
        before=_side([_held_before(item, name) for item in rows], told_apart=told_apart),
        after=_side([_held_now(item, name) for item in rows], told_apart=told_apart),
        changed=sum(name in changed_fields(_before(i), i.output or {}) for i in both),
        of=len(both),
    )


class _Gap(StrEnum):
    """Why a conversation has no value of a field, in the order in which they are shown."""

    EMPTY = "Empty"
    NOT_ASKED = "Not asked"
    FAILED = "Failed"
    NO_RESULT = "No result yet"


def _held_before(item: RunItem, name: str) -> object:
    """Return the value of a field in the result before, or the gap in its place."""
    if item.previous_analysis is None:
        return _Gap.NO_RESULT
    if name not in _asked_before(item):
        return _Gap.NOT_ASKED
    return _before(item).get(name)


def _held_now(item: RunItem, name: str) -> object:
    """Return the value of a field in the draft's result, or the gap in its place."""
    if item.state == "failed":
        return _Gap.FAILED
    if name not in _asked(item) and name not in (item.output or {}):
        return _Gap.NOT_ASKED
    return (item.output or {}).get(name)


def _has_few_values(schema: object) -> bool:
    """Return whether a field's values repeat, so that counts are useful: choices, lists, yes/no.

    A text or a date is different each time.
    """
    rules = schema if isinstance(schema, dict) else {}
    kinds = rules.get("type", "string")
    kinds = {kinds} if isinstance(kinds, str) else set(kinds)
    return "enum" in rules or bool(kinds & {"boolean", "array"})


def _side(values: Sequence[object], *, told_apart: bool) -> Side:
    """Return how often values are there, how they are distributed, and why others are not."""
    empty = [_Gap.EMPTY for value in values if value in (None, "", [])]
    missing = Counter([*empty, *(value for value in values if isinstance(value, _Gap))])
    gaps = tuple((gap.value, missing[gap]) for gap in _Gap if missing[gap])
    filled = [v for v in values if v not in (None, "", []) and not isinstance(v, _Gap)]
    numbers = [v for v in filled if isinstance(v, int | float) and not isinstance(v, bool)]
    if numbers and len(numbers) == len(filled):
        low, high, mean = min(numbers), max(numbers), sum(numbers) / len(numbers)
        spread = f"{display.number(low)} – {display.number(high)}, on average "
        note = ("all " if low == high else spread) + display.number(round(mean, 2))
        return Side(len(filled), len(values), note=note, gaps=gaps)
    if not told_apart:
        return Side(len(filled), len(values), gaps=gaps)
    words = Counter(word[:_LONGEST_VALUE] for value in filled for word in _words(value))
    shown = words.most_common(VALUES_SHOWN)
    rest = words.total() - sum(count for _, count in shown)
    counts = (*shown, *([("others", rest)] if rest else []))
    return Side(len(filled), len(values), counts, gaps=gaps)


def _words(value: object) -> list[str]:
    """The values that are counted: yes and no, a word, each entry of a list."""
    if isinstance(value, bool):
        return ["Yes" if value else "No"]
    if isinstance(value, list):
        return [word for entry in value for word in _words(entry)]
    return [display.one_line(value)]


def _before(item: RunItem) -> dict[str, Any]:
    return (item.previous_analysis.output or {}) if item.previous_analysis else {}


def _asked(item: RunItem) -> tuple[str, ...]:
    return item.config.parsed().field_names()


def _asked_before(item: RunItem) -> set[str]:
    """Return the fields that the previous result was asked for; only they can count as empty."""
    before = item.previous_analysis
    if before is None:
        return set()
    asked = before.config.parsed().field_names() if before.config else before.field_order
    return {*asked, *(before.output or {})}


def _schemas(item: RunItem) -> dict[str, Any]:
    now = field_schemas(item.config.parsed())
    old = schemas_of(item.previous_analysis) if item.previous_analysis else {}
    return {**now, **{name: schema for name, schema in old.items() if name not in now}}


def _beginnings(conversation_ids: Sequence[int]) -> dict[int, list[transcript.Message]]:
    """Return the first messages of each transcript, truncated, in one query.

    The query reads no transcript whole.
    """
    first = Func(
        F("messages"),
        template=f"jsonb_path_query_array(%(expressions)s, '$[0 to {EXCERPT_MESSAGES - 1}]')",
        output_field=JSONField(),
    )
    rows = Transcript.objects.filter(pk__in=conversation_ids).annotate(first=first)
    return {
        pk: [_cut(message) for message in messages]
        for pk, messages in rows.values_list("pk", "first")
    }


def _cut(message: Mapping[str, Any]) -> transcript.Message:
    content = message.get("content")
    if isinstance(content, str) and len(content) > EXCERPT_CLIP:
        return {**message, "content": f"{content[:EXCERPT_CLIP].rstrip()}…"}
    return message
