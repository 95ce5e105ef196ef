"""Store conversations that someone has to follow up, and the rules that add them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone

from apps.agents.models import Agent
from apps.conversations.models import Conversation
from apps.core.ids import public_id

REASON_MAX = 1_000
NOTE_MAX = 10_000


FRESH_DAYS = 7
"""First analyses of older conversations add nothing: an import of a year would fill the queue."""


def follow_up_id() -> str:
    """Return a new public ID of a follow-up."""
    return public_id("fu")


class FollowUpState(models.TextChoices):
    OPEN = "open", "Open"
    DONE = "done", "Done"


class Origin(models.TextChoices):
    """The cause of a follow-up."""

    ANALYSIS = "analysis", "Analysis"
    PERSON = "person", "Added by hand"


@dataclass(frozen=True, slots=True)
class ValueChange:
    """A field with its value at the time of the follow-up, and its current value."""

    name: str
    before: Any
    after: Any


class FollowUpQuerySet(models.QuerySet["FollowUp"]):
    def open(self) -> "FollowUpQuerySet":
        return self.filter(done_at=None)

    def done(self) -> "FollowUpQuerySet":
        return self.filter(done_at__isnull=False)

    def overdue(self, now: datetime) -> "FollowUpQuerySet":
        """Return open follow-ups whose due time has passed."""
        return self.open().filter(due_at__lt=now)

    def of_agent(self, public_id: str) -> "FollowUpQuerySet":
        return self.filter(conversation__agent__public_id=public_id)

    def with_conversations(self) -> "FollowUpQuerySet":
        """Load owner, conversation, agent, and contact, in one query."""
        return self.select_related("owner", "conversation__agent", "conversation__contact").defer(
            "conversation__summary"
        )


class FollowUp(models.Model):
    """A conversation that someone has to come back to: who, until when, and why.

    ``values`` are the analysis fields that asked for it, as they were then. A rerun that changes
    them changes nothing here: `changes` compares them with the current result. ``version`` counts
    the edits, so that two editors can't overwrite each other.
    """

    public_id = models.CharField(max_length=40, unique=True, default=follow_up_id, editable=False)
    conversation = models.ForeignKey(
        Conversation, on_delete=models.CASCADE, related_name="follow_ups"
    )
    origin = models.CharField(max_length=10, choices=Origin.choices)
    reason = models.CharField(max_length=REASON_MAX, blank=True)
    values = models.JSONField(default=dict)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="follow_ups",
    )
    due_at = models.DateTimeField(null=True, blank=True)
    note = models.CharField(max_length=NOTE_MAX, blank=True)
    version = models.PositiveIntegerField(default=1, db_default=1)
    created_at = models.DateTimeField(default=timezone.now, db_default=Now())
    created_by = models.CharField(max_length=200)
    done_at = models.DateTimeField(null=True, blank=True)
    done_by = models.CharField(max_length=200, blank=True, db_default="")

    objects = FollowUpQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["conversation"], condition=Q(done_at=None), name="follow_up_open_once"
            ),
            models.CheckConstraint(
                condition=Q(origin__in=Origin.values), name="follow_up_origin_known"
            ),
            models.CheckConstraint(
                condition=Q(done_at=None, done_by="") | Q(done_at__isnull=False) & ~Q(done_by=""),
                name="follow_up_done_by_someone",
            ),
        ]
        indexes = [
            models.Index(
                fields=["due_at", "id"], condition=Q(done_at=None), name="follow_up_open_due"
            ),
            models.Index(
                fields=["created_at", "id"], condition=Q(done_at=None), name="follow_up_open_added"
            ),
            models.Index(
                F("done_at").desc(),
                F("id").desc(),
                condition=Q(done_at__isnull=False),
                name="follow_up_done_recent",
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def is_open(self) -> bool:
        return self.done_at is None

    @property
    def state(self) -> FollowUpState:
        return FollowUpState.OPEN if self.is_open else FollowUpState.DONE

    @property
    def is_overdue(self) -> bool:
        return self.is_open and self.due_at is not None and self.due_at < timezone.now()

    def changes(self) -> list[ValueChange]:
        """Return the fields that asked for it and differ in the current result.

        Reads the conversation's result: select the conversation with the row.
        """
        current: Mapping[str, Any] = self.conversation.analysis_data or {}
        return [
            ValueChange(name, before, current.get(name))
            for name, before in self.values.items()
            if current.get(name) != before
        ]


def rule_id() -> str:
    """Return a new public ID of a rule."""
    return public_id("fur")


class Applies(models.TextChoices):
    """The results that a rule looks at."""

    FIRST = "first", f"First analyses of conversations of the last {FRESH_DAYS} days"
    ALL = "all", "All analyses, including reruns and backfills"


class FollowUpRule(models.Model):
    """Which results add their conversation to the queue.

    ``agent`` is empty for all agents; an agent's own rule takes the place of the general one.
    ``document`` is a rule of `apps.conversations.filters`, ``reason_field`` the analysis field
    that says why.
    """

    public_id = models.CharField(max_length=40, unique=True, default=rule_id, editable=False)
    agent = models.ForeignKey(
        Agent, on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    document = models.JSONField()
    reason_field = models.CharField(max_length=200, blank=True)
    due_days = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="Due at the end of this many days; empty: no due date."
    )
    applies = models.CharField(max_length=10, choices=Applies.choices, default=Applies.FIRST)
    enabled = models.BooleanField(default=True)
    updated_by = models.CharField(max_length=200)
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = [F("agent").asc(nulls_first=True)]
        constraints = [
            models.UniqueConstraint(
                fields=["agent"], nulls_distinct=False, name="follow_up_rule_once_per_agent"
            ),
            models.CheckConstraint(
                condition=Q(applies__in=Applies.values), name="follow_up_rule_applies_known"
            ),
        ]

    def __str__(self) -> str:
        return f"follow-ups of {self.agent or 'all agents'}"
