"""The conversations before and after one, within the list that one came from."""

from dataclasses import dataclass, replace

from django.http import QueryDict

from apps.analysis.pages import Links
from apps.conversations.filters import FilterError, parse
from apps.conversations.history_list import neighbors
from apps.conversations.models import Conversation


@dataclass(frozen=True, slots=True)
class Neighbors:
    """URLs of the pages before and after; empty where the list ends."""

    previous: str = ""
    next: str = ""


def neighbors_of(conversation: Conversation, links: Links) -> Neighbors:
    """Return neighbors by the list's filter and order; none if the query is no longer valid.

    The page loads those of a run's items from the run.
    """
    if links.run:
        return Neighbors()
    query = QueryDict(links.origin, mutable=True)
    query.pop("cursor", None)
    try:
        spec = parse(conversation.channel, query)
        before, after = neighbors(spec, conversation)
    except FilterError:
        return Neighbors()
    return Neighbors(*(replace(links, conv_id=i).analysis if i else "" for i in (before, after)))
