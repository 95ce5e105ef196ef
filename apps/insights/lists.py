"""A few conversations of a scope, with the history page that lists all of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import CharField, Func
from django.db.models.fields.json import KeyTransform
from django.http import QueryDict
from django.urls import reverse

from apps.agents.models import Channel
from apps.conversations import history_list
from apps.conversations.filters import Field, parse
from apps.conversations.models import Conversation

from .fields import InsightField
from .scope import Params, Scope

LISTED = 6
"""Conversations of a list in a panel."""


@dataclass(frozen=True, slots=True)
class ConversationList:
    """A few conversations with some of their columns; ``url`` opens all of them."""

    columns: tuple[Field, ...]
    conversations: list[Conversation]
    count: int
    url: str
    query: str


def listed(
    scope: Scope,
    more: Params,
    names: Sequence[str],
    *,
    lowest: InsightField | None = None,
    limit: int = LISTED,
) -> ConversationList:
    """Return the latest conversations of a part, or those with the lowest numbers of a field.

    The address opens all of them, the latest first: history pages can't sort by a result's field.
    """
    columns = ["started_at", "agent", "contact", *(scope.fields[n].filter_name for n in names)]
    params = {**scope.params(more), "columns": columns}
    spec = parse(scope.channel, params)
    rows = history_list.with_columns(spec.queryset(), spec.columns).with_excerpt()
    if lowest is None:
        rows = rows.order_by("-sort_at", "-pk")
    else:
        value = KeyTransform(lowest.path, "analysis_data")
        kind = Func(value, function="jsonb_typeof", output_field=CharField())
        numbered = rows.annotate(number=value, kind=kind).filter(kind="number")
        rows = numbered.order_by("number", "-pk")
    query = QueryDict(mutable=True)
    for name, values in params.items():
        query.setlist(name, values)
    page = "calls" if scope.channel == Channel.VOICE else "chats"
    return ConversationList(
        spec.columns,
        list(rows[:limit]),
        spec.queryset().count(),
        f"{reverse(f'conversations:{page}')}?{query.urlencode()}",
        query.urlencode(),
    )
