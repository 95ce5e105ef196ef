"""Sets of conversations, in words."""

from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Func, IntegerField

if TYPE_CHECKING:
    from .models import Conversation  # noqa: F401  (a model imports its querysets)


class Draw(Func):
    """A number from 0 to 2³² that follows from the public id alone: the order of a sample."""

    template = "(('x' || substr(md5(%(expressions)s), 1, 8))::bit(32)::bigint)"
    output_field = IntegerField()


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
