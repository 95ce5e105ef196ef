"""The lists of the history pages: columns, order, counts, and neighbors."""

from collections.abc import Callable, Sequence
from typing import Any

from django.conf import settings
from django.db.models import Prefetch

from apps.agents.models import Channel
from apps.core.counts import Count, count
from apps.core.database import TooSlow, time_limit
from apps.core.pagination import Cursor, Page, page, page_by_keys
from apps.core.yes_no import worded_truth

from .filters import Field, FilterSpec, ValueKind, field_named
from .models import Conversation, ConversationQuerySet, Transfer

PAGE = 50
_DEFAULT = (
    "started_at",
    "duration_ms",
    "agent",
    "contact",
    "{}_successful",
    "user_sentiment",
    "{}_summary",
    "analysis_cost",
)
_HEADS = {
    "started_at": "Time",
    "duration_ms": "Duration",
    "call_successful": "Outcome",
    "chat_successful": "Outcome",
    "user_sentiment": "Sentiment",
    "call_summary": "Summary",
    "chat_summary": "Summary",
    "analysis_cost": "Cost",
    "disconnection_reason": "End reason",
}


def default_columns(channel: str) -> list[str]:
    """Return the names of the columns that a history page shows automatically."""
    prefix = "chat" if channel == Channel.CHAT else "call"
    return [name.format(prefix) for name in _DEFAULT]


def columns_of(spec: FilterSpec) -> tuple[Field, ...]:
    """Return the columns that were asked for, else the usual ones."""
    if spec.columns:
        return spec.columns
    found = (field_named(name, spec.channel) for name in default_columns(spec.channel or ""))
    return tuple(field for field in found if field is not None)


def head_of(field: Field) -> str:
    """Return the heading of a column."""
    return _HEADS.get(field.name, field.label)


def with_columns(rows: ConversationQuerySet, columns: Sequence[Field]) -> ConversationQuerySet:
    """Return the rows with the shown columns only."""
    rows = rows.select_related("agent", "agent_version", "contact")
    names = [field.name for field in columns]
    if any(name.startswith(("metadata.", "var.")) for name in names):
        rows = rows.select_related("attributes")
    if not any(name.startswith("analysis.") for name in names):
        rows = rows.defer("analysis_data")
    if "analysis_config" in names:
        rows = rows.select_related("analysis_config").defer("analysis_config__document")
    if "transferred_to" in names:
        transfers = Transfer.objects.select_related("to_version__agent")
        rows = rows.prefetch_related(Prefetch("transfers", transfers))
    return rows.defer("agent_version__editor_document")


def page_of(spec: FilterSpec, columns: Sequence[Field], cursor: str | None) -> Page[Conversation]:
    """Return one page of the list. Raises CursorError."""
    rows = with_columns(Conversation.objects.all(), columns).with_excerpt()
    return page_by_keys(keys_of(spec), rows, order=spec.sort.order, cursor=cursor, limit=PAGE)


def keys_of(spec: FilterSpec) -> ConversationQuerySet:
    """Return what matches, with no more than its place in the order."""
    rows = spec.queryset()
    relation, follows, _ = spec.sort.field.sort.rpartition("__")
    if follows:
        rows = rows.select_related(relation)
    return rows.only("public_id", spec.sort.field.sort)


def counts_beside(spec: FilterSpec, shown: Page[Conversation]) -> tuple[Count, Count]:
    """Return how many match, and of how many, for a page of them, within the time that it has.

    A list of one page is counted already. Where counting takes long, it is known that there are
    more than those shown; the exact number comes when it is asked for.
    """
    everything = count(Conversation.objects.filter(channel=spec.channel))
    if spec.is_empty:
        return everything, everything
    if not (shown.next_cursor or shown.previous_cursor):
        return Count(len(shown.items), exact=True), everything
    try:
        with time_limit(settings.LIST_COUNT_SECONDS):
            return count(spec.queryset()), everything
    except TooSlow:
        return Count(len(shown.items), exact=False), everything


def counts(spec: FilterSpec, *, limit: int) -> tuple[Count, Count]:
    """Return how many match, and of how many."""
    everything = count(Conversation.objects.filter(channel=spec.channel), limit=limit)
    if spec.is_empty:
        return everything, everything
    return count(spec.queryset(), limit=limit), everything


def neighbors(spec: FilterSpec, conversation: Conversation) -> tuple[str, str]:
    """Public ids of the conversations before and after one in the list's order; empty at an end.

    The conversation itself need not match: it is the place in the order that counts.
    """
    order = spec.sort.order
    back, forth = (_beside(spec, conversation, order, back=back) for back in (True, False))
    return back, forth


def _beside(
    spec: FilterSpec, conversation: Conversation, order: Sequence[str], *, back: bool
) -> str:
    names = (*order, "-id" if order[-1].startswith("-") else "id")
    values = tuple(_path(conversation, name.removeprefix("-")) for name in names)
    cursor = Cursor(names, values, back).encode()
    found = page(keys_of(spec), order=order, cursor=cursor, limit=1)
    return found.items[0].public_id if found.items else ""


def _path(conversation: Conversation, name: str) -> Any:
    value: Any = conversation
    for part in name.split("__"):
        value = getattr(value, part, None)
    return value


def value_of(conversation: Conversation, field: Field) -> Any:
    """Return what a column holds, as a plain value."""
    group, dot, key = field.name.partition(".")
    if dot:
        return _in_object(conversation, group, key)
    if field.name in _COMPUTED:
        return _COMPUTED[field.name](conversation)
    return getattr(conversation, field.name)


def _in_object(conversation: Conversation, group: str, key: str) -> Any:
    if group == "analysis":
        return (conversation.analysis_data or {}).get(key)
    attributes = conversation.attributes
    return (attributes.metadata if group == "metadata" else attributes.dynamic_variables).get(key)


def other_party(conversation: Conversation) -> str:
    """Who it was with: the contact, else the number of the other side."""
    if conversation.contact is not None:
        return str(conversation.contact)
    outbound = conversation.direction == "outbound"
    return conversation.to_number if outbound else conversation.from_number


def _outcome(conversation: Conversation) -> Any:
    """Return the outcome as filters and charts read it, in the agent's own word if both agree."""
    if conversation.outcome and conversation.successful is None:
        return conversation.outcome
    own_word = conversation.outcome.lower() in {"resolved", "unresolved"}
    agrees = worded_truth(conversation.outcome) == conversation.successful
    return conversation.outcome if own_word and agrees else conversation.successful


_COMPUTED: dict[str, Callable[[Conversation], Any]] = {
    "id": lambda c: c.public_id,
    "time": lambda c: c.sort_at,
    "agent": lambda c: c.agent.name,
    "agent_version": lambda c: c.agent_version.number,
    "contact": other_party,
    "transferred_to": lambda c: [t.to_version.agent.name for t in c.transfers.all()],
    "call_summary": lambda c: c.summary,
    "chat_summary": lambda c: c.summary,
    "call_successful": _outcome,
    "chat_successful": _outcome,
    "user_sentiment": lambda c: c.sentiment,
    "analysis_config": lambda c: c.analysis_config.name if c.analysis_config else "",
}


def is_figure(field: Field) -> bool:
    """Return whether a column's values line up at the right."""
    return field.kinds == (ValueKind.NUMBER,)
