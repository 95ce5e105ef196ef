"""A few conversations of a scope, with the history page that lists all of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.http import QueryDict
from django.urls import reverse

from apps.agents.models import Channel
from apps.conversations import history_list
from apps.conversations.filters import Field, parse
from apps.conversations.models import Conversation

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
    scope: Scope, more: Params, names: Sequence[str], sort: str, *, limit: int = LISTED
) -> ConversationList:
    """Return the first conversations of a history page, with the page's address."""
    columns = ["started_at", "agent", "contact", *(scope.fields[n].filter_name for n in names)]
    params = {**scope.params(more), "sort": [sort], "columns": columns}
    spec = parse(scope.channel, params)
    query = QueryDict(mutable=True)
    for name, values in params.items():
        query.setlist(name, values)
    page = "calls" if scope.channel == Channel.VOICE else "chats"
    return ConversationList(
        spec.columns,
        list(history_list.page_of(spec, spec.columns, None).items[:limit]),
        spec.queryset().count(),
        f"{reverse(f'conversations:{page}')}?{query.urlencode()}",
        query.urlencode(),
    )
