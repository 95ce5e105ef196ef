"""A trial of drafts, and what it found in each conversation.

Nothing here is an analysis: no history, no column and no webhook knows of it. A trial is thrown
away after some days, and what it found in a conversation goes when the conversation is erased.
"""

from datetime import datetime, timedelta
from decimal import Decimal

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from apps.agents.models import Agent, AgentVersion, AnalysisConfig, Channel
from apps.analysis.failures import failure_sentence
from apps.conversations.models import Conversation
from apps.core.ids import public_id
from apps.llm.errors import ErrorCode

#: How long a trial is kept.
KEPT = timedelta(days=7)
#: Most conversations of one trial, and how many it takes where nobody says otherwise.
MOST, USUAL = 50, 5


def trial_id() -> str:
    """A fresh public id of a trial."""
    return public_id("try")


class ItemState(models.TextChoices):
    PENDING = "pending", "Waiting"
    RUNNING = "running", "Running"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


OPEN = (ItemState.PENDING.value, ItemState.RUNNING.value)


class TrialQuerySet(models.QuerySet["Trial"]):
    def over(self, now: datetime) -> "TrialQuerySet":
        """Those that were kept long enough."""
        return self.filter(created_at__lt=now - KEPT)


class Trial(models.Model):
    """One run of drafts over a few conversations. Without an agent it is one of a backfill's
    drafts, each conversation read with those of its own route."""

    public_id = models.CharField(max_length=40, default=trial_id, editable=False)
    agent = models.ForeignKey(
        Agent, on_delete=models.CASCADE, null=True, blank=True, related_name="trials"
    )
    channel = models.CharField(max_length=10, choices=Channel.choices)
    nonce = models.CharField(
        max_length=40, help_text="Of the figures that were agreed to: a second click runs nothing."
    )
    estimate = models.JSONField(default=dict)
    left_out = models.JSONField(
        default=list, help_text="Conversations that could not be read: their ids, and why."
    )
    created_by = models.CharField(max_length=200)
    created_at = models.DateTimeField(db_default=Now())
    cancelled_at = models.DateTimeField(null=True, blank=True)

    objects = TrialQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(fields=["public_id"], name="trial_public_id_once"),
            models.UniqueConstraint(fields=["nonce"], name="trial_agreed_once"),
            models.CheckConstraint(condition=Q(channel__in=Channel.values), name="trial_channel"),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def is_free(self) -> bool:
        """Whether it was told to cost nothing."""
        cost = self.estimate.get("cost")
        return cost is not None and Decimal(cost) == 0


class TrialItem(models.Model):
    """One conversation of a trial, what was known of it then, and what the drafts found.

    Work until it is final: a pending or running row *is* the queue, claimed with a lease and a
    token like an analysis.
    """

    trial = models.ForeignKey(Trial, on_delete=models.CASCADE, related_name="items")
    position = models.PositiveSmallIntegerField()
    conversation = models.ForeignKey(
        Conversation, on_delete=models.CASCADE, related_name="trial_items"
    )
    config = models.ForeignKey(
        AnalysisConfig, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    agent_version = models.ForeignKey(
        AgentVersion,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        help_text="The draft that was tried: of the last agent, where several are merged.",
    )
    before = models.ForeignKey(
        "analysis.Analysis",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        help_text="The result that was current when the trial began.",
    )
    state = models.CharField(max_length=10, choices=ItemState.choices, default=ItemState.PENDING)

    output = models.JSONField(null=True, blank=True)
    missing_required = models.JSONField(default=list)
    truncated = models.BooleanField(default=False)
    raw_output = models.TextField(blank=True, help_text="Kept where the answer was not usable.")
    error_code = models.CharField(max_length=30, blank=True, choices=ErrorCode.choices)
    error_message = models.TextField(blank=True)

    requests = models.PositiveIntegerField(default=0)
    input_tokens = models.PositiveIntegerField(null=True, blank=True)
    cached_tokens = models.PositiveIntegerField(null=True, blank=True)
    output_tokens = models.PositiveIntegerField(null=True, blank=True)
    cost = models.DecimalField(
        max_digits=14, decimal_places=8, null=True, blank=True, help_text="Empty: price unknown."
    )
    latency_ms = models.PositiveIntegerField(null=True, blank=True)

    lease_token = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["trial_id", "position"]
        constraints = [
            models.UniqueConstraint(fields=["trial", "position"], name="trial_item_position_once"),
            models.UniqueConstraint(
                fields=["trial", "conversation"], name="trial_item_conversation_once"
            ),
            models.CheckConstraint(
                condition=Q(state__in=ItemState.values), name="trial_item_state_known"
            ),
            models.CheckConstraint(
                condition=~Q(state="running") | Q(lease_token__isnull=False),
                name="trial_item_running_is_leased",
            ),
            models.CheckConstraint(
                condition=~Q(state="failed") | ~Q(error_code=""),
                name="trial_item_failure_has_code",
            ),
            models.CheckConstraint(
                condition=Q(state__in=OPEN) | Q(finished_at__isnull=False),
                name="trial_item_final_has_time",
            ),
        ]
        indexes = [models.Index(fields=["id"], condition=Q(state__in=OPEN), name="trial_item_work")]

    def __str__(self) -> str:
        return f"{self.trial_id}/{self.position}"

    @property
    def is_final(self) -> bool:
        return self.state not in OPEN

    @property
    def sentence(self) -> str:
        """A failure in words."""
        return failure_sentence(self.error_code, self.error_message)
