"""What becomes of the analysis that a platform made itself."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal, cast

from apps.conversations.inputs import ConversationInput
from apps.conversations.models import Attributes, Conversation

Rule = Literal["theirs", "ours", "wait"]
KEPT_AS = "platform_analysis"
"""The key of the metadata under which a platform's own analysis is stored that is not shown as the
result."""


@dataclass(frozen=True, slots=True)
class PlatformRule:
    """An intake source's rule: use *theirs*, make *ours*, or *wait* this many minutes for theirs.

    ``theirs``: their result is stored as imported, ours is never asked for automatically. ``ours``:
    theirs is stored in the metadata under ``platform_analysis``, ours is asked for when the
    conversation ends. ``wait``: as theirs, but ours is asked for when none came in time.
    ``final``: the platform has said its last of this conversation, there is nothing to wait for.
    """

    rule: Rule
    wait_minutes: int = 10
    final: bool = False

    @property
    def awaits_theirs(self) -> bool:
        return self.rule != "ours"

    def analyze_at(self, now: datetime) -> datetime | None:
        """Return when our analysis is due of what ends ``now``; None: never automatically.

        The minutes count from when we hear of the end: an event that a platform delivers late is
        followed by its analysis as late.
        """
        if self.rule == "theirs":
            return None
        if self.rule == "ours" or self.final:
            return now
        return now + timedelta(minutes=self.wait_minutes)

    def applied(self, line: ConversationInput) -> ConversationInput:
        """Return the line as it is stored: by the rule *ours* their result is no result."""
        if self.rule != "ours" or not line.analysis:
            return line
        return replace(line, analysis=None, metadata={**line.metadata, KEPT_AS: line.analysis})


def rule_named(name: str, wait_minutes: int) -> PlatformRule:
    """Return the rule as a source's columns hold it, which the database limits to the three."""
    return PlatformRule(cast("Rule", name), wait_minutes)


RulesOf = Callable[[Iterable[int]], Mapping[int, PlatformRule]]
"""Finds the rules of conversations that came from a source; others are not in the result."""


def keep_beside(conversation: Conversation, analysis: Mapping[str, Any]) -> None:
    """Keep what a platform found in the metadata, where a result of ours is the current one."""
    attributes, _ = Attributes.objects.get_or_create(conversation=conversation)
    if attributes.metadata.get(KEPT_AS) != analysis:
        attributes.metadata = {**attributes.metadata, KEPT_AS: dict(analysis)}
        attributes.save(update_fields=["metadata"])
