"""Sets of conversations, in words."""

from typing import TYPE_CHECKING

from django.db import models

if TYPE_CHECKING:
    from .models import Conversation  # noqa: F401  (a model imports its querysets)


class ConversationQuerySet(models.QuerySet["Conversation"]):
    def ended(self) -> "ConversationQuerySet":
        """Those in which nothing more is expected to happen."""
        return self.filter(status__in=["ended", "error", "not_connected"])

    def analyzable(self) -> "ConversationQuerySet":
        """Those that may be sent to a model (product 3.5): ended, connected, somebody spoke."""
        return self.filter(status__in=["ended", "error"], has_speech=True)

    def with_agents(self) -> "ConversationQuerySet":
        """What a history page shows of each conversation, in one query."""
        return self.select_related("agent", "agent_version", "contact", "analysis_config")
