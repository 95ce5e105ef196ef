"""Sets of conversations, in words."""

from typing import TYPE_CHECKING

from django.db import models
from django.db.models.functions import Left

if TYPE_CHECKING:
    from .models import Conversation  # noqa: F401  (a model imports its querysets)


EXCERPT = 400
"""Characters of a summary in a list. A whole one may be a hundred times as long."""


class ConversationQuerySet(models.QuerySet["Conversation"]):
    def with_agents(self) -> "ConversationQuerySet":
        """What a history page shows of each conversation, in one query."""
        return self.select_related("agent", "agent_version", "contact", "analysis_config")

    def with_excerpt(self) -> "ConversationQuerySet":
        """Read the beginning of each summary as ``excerpt``, and not the summary."""
        return self.defer("summary").annotate(excerpt=Left("summary", EXCERPT + 1))
