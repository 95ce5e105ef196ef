"""A rerun of many conversations, frozen when it was saved."""

import json
from decimal import Decimal

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from apps.agents.models import AgentVersion, AnalysisConfig, Channel
from apps.analysis.models import Analysis
from apps.conversations.models import Conversation
from apps.core.ids import public_id
from apps.llm.errors import ErrorCode

from .trial_models import Trial, TrialItem  # noqa: F401  (Django finds models here)


def run_id() -> str:
    """A fresh public id of a backfill."""
    return public_id("bf")


class State(models.TextChoices):
    """Closed list of docs/interfaces.md."""

    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    PAUSED = "paused", "Paused"
    CANCELLING = "cancelling", "Cancelling"
    COMPLETED = "completed", "Completed"
    CANCELLED = "cancelled", "Cancelled"


ACTIVE = (State.QUEUED, State.RUNNING, State.PAUSED, State.CANCELLING)


class PauseReason(models.TextChoices):
    BY_USER = "by_user", "Paused by a person"
    AUTH = "auth", "The provider refuses the key"
    QUOTA = "quota", "The provider account has no quota left"
    PROVIDER_DOWN = "provider_down", "The provider does not answer"
    RATE_LIMITED = "rate_limited", "The provider limits the rate of requests"


BY_ITSELF = frozenset({PauseReason.PROVIDER_DOWN, PauseReason.RATE_LIMITED})
"""Pauses that end without a person."""


class ItemState(models.TextChoices):
    PENDING = "pending", "Waiting"
    RUNNING = "running", "Running"
    DONE = "done", "Done"
    SKIPPED = "skipped", "Skipped"
    FAILED = "failed", "Failed"


class RunQuerySet(models.QuerySet["Run"]):
    def active(self) -> "RunQuerySet":
        """Runs that may still do something, paused ones included."""
        return self.filter(state__in=["queued", "running", "paused", "cancelling"])

    def claimable(self) -> "RunQuerySet":
        """Runs from which workers take items."""
        return self.filter(state__in=["queued", "running"])


class RunItemQuerySet(models.QuerySet["RunItem"]):
    def unfinished(self) -> "RunItemQuerySet":
        return self.filter(state__in=["pending", "running"])

    def failed(self) -> "RunItemQuerySet":
        return self.filter(state="failed")


class Run(models.Model):
    """What was asked, by whom, and how far it is. Counts are read from the items.

    ``plan`` freezes what each route of agents is read with: a list of ``{"route",
    "agent_version", "config", "columns", "sessions"}``. ``save_token`` makes a second Save of the
    same form find the first one.
    """

    public_id = models.CharField(max_length=40, unique=True, default=run_id, editable=False)
    channel = models.CharField(max_length=10, choices=Channel.choices)
    filters = models.JSONField(default=dict)
    options = models.JSONField(default=dict)
    plan = models.JSONField(default=list)
    as_of = models.DateTimeField(help_text="The moment of the preview that was agreed to.")
    estimate = models.JSONField(default=dict)
    save_token = models.CharField(max_length=64, unique=True)
    total = models.PositiveIntegerField(default=0, help_text="Items frozen at Save.")

    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED)
    reason = models.CharField(max_length=20, blank=True)
    reason_detail = models.TextField(blank=True)
    resume_at = models.DateTimeField(
        null=True, blank=True, help_text="Paused for its provider, which is asked again then."
    )
    probes = models.PositiveIntegerField(
        default=0, db_default=0, help_text="How often it was asked since the run last got on."
    )
    resumed_at = models.DateTimeField(null=True, blank=True)
    retried = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Failed items that were last queued again."
    )
    retried_at = models.DateTimeField(null=True, blank=True)
    created_by = models.CharField(max_length=200)
    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=State.values), name="run_state_known"),
        ]

    def __str__(self) -> str:
        return self.public_id

    def columns_by_version(self) -> dict[int, str]:
        """The frozen history columns of each version in the plan, as JSON text."""
        return {entry["agent_version"]: json.dumps(entry["columns"]) for entry in self.plan}

    @property
    def is_active(self) -> bool:
        return self.state in ACTIVE

    @property
    def is_free(self) -> bool:
        """Return whether nothing was expected to be paid; an unknown price is not free."""
        cost = self.estimate.get("cost")
        return cost is not None and not Decimal(cost)


class RunItem(models.Model):
    """One conversation of a backfill, with the config that it is read with.

    The conversation is empty once it was erased: the item then is what was counted and paid, and
    has no words (decision 0017). That its analyses are of its own conversation is a foreign key
    of two columns, made by a migration: an index less than two of one column would need.
    """

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="items", db_index=False)
    conversation = models.ForeignKey(
        Conversation, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    config = models.ForeignKey(
        AnalysisConfig, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    agent_version = models.ForeignKey(
        AgentVersion, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    state = models.CharField(max_length=10, choices=ItemState.choices, default=ItemState.PENDING)
    not_before = models.DateTimeField(
        null=True,
        blank=True,
        help_text="Left alone until then: another analysis is at work, or its provider failed.",
    )
    analysis = models.ForeignKey(
        Analysis,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        db_constraint=False,
    )
    previous_analysis = models.ForeignKey(
        Analysis,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        db_constraint=False,
        help_text="What was current when this one was recorded.",
    )
    changed = models.BooleanField(
        null=True, blank=True, help_text="Whether any value differs from the previous analysis."
    )
    tries = models.PositiveIntegerField(
        default=0,
        db_default=0,
        help_text="How often its provider could not be asked while it answered others.",
    )
    error_code = models.CharField(max_length=30, blank=True, choices=ErrorCode.choices)
    error_message = models.TextField(blank=True)
    cost = models.DecimalField(max_digits=14, decimal_places=8, null=True, blank=True)
    input_tokens = models.PositiveIntegerField(default=0, db_default=0)
    output_tokens = models.PositiveIntegerField(default=0, db_default=0)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = RunItemQuerySet.as_manager()

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["run", "conversation"], name="run_item_conversation_once"
            ),
            models.CheckConstraint(
                condition=Q(state__in=ItemState.values), name="run_item_state_known"
            ),
            models.CheckConstraint(
                condition=Q(conversation__isnull=False)
                | Q(
                    analysis=None,
                    previous_analysis=None,
                    error_message="",
                    state__in=[ItemState.DONE, ItemState.SKIPPED, ItemState.FAILED],
                ),
                name="run_item_erased_is_bare",
            ),
        ]
        indexes = [
            models.Index(
                F("run"),
                F("id"),
                condition=Q(state__in=["pending", "running"]),
                name="run_item_work",
            )
        ]

    def __str__(self) -> str:
        return f"{self.run_id}:{self.conversation_id}"
