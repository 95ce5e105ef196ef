"""The items of runs: one conversation each, and the sums of how they end."""

from typing import Any

from django.db import models
from django.db.models import F, Q, Value

from apps.agents.models import AgentVersion, AnalysisConfig
from apps.analysis.models import Analysis
from apps.conversations.models import Conversation
from apps.llm.errors import ErrorCode, failure_sentence

from .run import Run
from .shipment import Shipment


class ItemState(models.TextChoices):
    PENDING = "pending", "Queued"
    RUNNING = "running", "Running"
    DONE = "done", "Completed"
    SKIPPED = "skipped", "Skipped"
    FAILED = "failed", "Failed"


class SkipReason(models.TextChoices):
    """Why an item was skipped."""

    RERUN_SINCE = "rerun_since", "Analyzed again since"
    RESTORED_SINCE = "restored_since", "Rolled back or restored since"
    NO_RESULT = "no_result", "No result"
    ERASED = "erased", "Erased"
    CANCELED = "canceled", "The run was canceled"


class RunItemQuerySet(models.QuerySet["RunItem"]):
    def unfinished(self) -> "RunItemQuerySet":
        return self.filter(state__in=["pending", "running"])

    def failed(self) -> "RunItemQuerySet":
        return self.filter(state="failed")

    def stop_waiting(self) -> None:
        """Let items that were put off be claimed now, without writing any other item."""
        self.filter(state="pending", not_before__isnull=False).update(not_before=None)


_UNCHECKED: dict[str, Any] = {"db_index": False, "db_constraint": False}
"""Of foreign keys that the database doesn't check."""


class RunItem(models.Model):
    """One conversation of a run, with the config that it is read with.

    Its foreign keys are not checked by the database for each of a million items (decision 0052):
    `keep_erasures_out` of `starting` locks out what deletes conversations, and configs and versions
    are never deleted.
    A pending item of a canceled run is skipped (`Run.skips_pending`).

    The conversation is empty once it was erased: the item then has its count and its cost, and no
    content (decision 0017). That its analyses are of its own conversation is a foreign key
    of two columns, made by a migration: an index less than two of one column would need.
    """

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="items", **_UNCHECKED)
    position = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="For items of test runs: the position on the page."
    )
    conversation = models.ForeignKey(
        Conversation,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        **_UNCHECKED,
    )
    config = models.ForeignKey(
        AnalysisConfig,
        on_delete=models.PROTECT,
        related_name="+",
        **_UNCHECKED,
    )
    agent_version = models.ForeignKey(
        AgentVersion,
        on_delete=models.PROTECT,
        related_name="+",
        **_UNCHECKED,
    )
    state = models.CharField(max_length=10, choices=ItemState.choices, default=ItemState.PENDING)
    not_before = models.DateTimeField(
        null=True,
        blank=True,
        help_text="Not claimed before: another analysis is running, or its provider failed.",
    )
    analysis = models.ForeignKey(
        Analysis,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        **_UNCHECKED,
    )
    previous_analysis = models.ForeignKey(
        Analysis,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        **_UNCHECKED,
        help_text="The current analysis when the item was recorded or the test run began.",
    )
    previous_state = models.CharField(
        max_length=10,
        blank=True,
        db_default="",
        help_text="The conversation's analysis state before this run, and its reason below.",
    )
    previous_reason = models.CharField(max_length=30, blank=True, db_default="")
    changed = models.BooleanField(
        null=True, blank=True, help_text="Whether any value differs from the previous analysis."
    )
    tries = models.PositiveIntegerField(
        default=0,
        db_default=0,
        help_text="How often its provider failed while it responded to others.",
    )
    shipment = models.ForeignKey(
        Shipment,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="items",
        **_UNCHECKED,
        help_text="The batch of its provider that it is part of.",
    )
    direct = models.BooleanField(
        default=False,
        db_default=False,
        help_text="In the economy lane: it is asked for outside of batches.",
    )
    skip_reason = models.CharField(
        max_length=20,
        choices=SkipReason.choices,
        blank=True,
        db_default="",
        help_text="Why it was skipped.",
    )
    output = models.JSONField(null=True, blank=True, help_text="For test runs only.")
    missing_required = models.JSONField(default=list, db_default=Value([], models.JSONField()))
    truncated = models.BooleanField(default=False, db_default=False)
    raw_output = models.TextField(
        blank=True, db_default="", help_text="For test runs: a response that was not usable."
    )
    error_code = models.CharField(max_length=30, blank=True, choices=ErrorCode.choices)
    error_message = models.TextField(blank=True)
    cost = models.DecimalField(max_digits=14, decimal_places=8, null=True, blank=True)
    input_tokens = models.PositiveIntegerField(default=0, db_default=0)
    output_tokens = models.PositiveIntegerField(default=0, db_default=0)
    latency_ms = models.PositiveIntegerField(null=True, blank=True)
    lease_token = models.UUIDField(
        null=True, blank=True, help_text="For items of test runs. A backfill leases analyses."
    )
    lease_until = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveIntegerField(default=0, db_default=0)
    reserved = models.DecimalField(
        max_digits=18,
        decimal_places=9,
        null=True,
        blank=True,
        help_text="Of a test run only: what its request may cost at most, in US dollars.",
    )
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = RunItemQuerySet.as_manager()

    class Meta:
        ordering = ["pk"]
        constraints = [
            # Finds the items of a conversation too, which an erasure detaches.
            models.UniqueConstraint(
                fields=["conversation", "run"], name="run_item_conversation_once"
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
                    output=None,
                    raw_output="",
                    state__in=[ItemState.DONE, ItemState.SKIPPED, ItemState.FAILED],
                ),
                name="run_item_erased_is_bare",
            ),
            models.CheckConstraint(
                condition=~Q(state="running")
                | Q(lease_token__isnull=False)
                | Q(shipment__isnull=False)
                | ~Q(analysis=None),
                name="run_item_running_is_leased",
            ),
            models.CheckConstraint(
                condition=~Q(state="failed") | ~Q(error_code=""),
                name="run_item_failure_has_code",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["pending", "running"]) | Q(finished_at__isnull=False),
                name="run_item_final_has_time",
            ),
            models.CheckConstraint(
                condition=Q(skip_reason="") | Q(state="skipped"), name="run_item_skip_has_state"
            ),
            models.CheckConstraint(
                condition=Q(reserved=None) | Q(state__in=["pending", "running"]),
                name="run_item_reserved_is_open",
            ),
        ]
        indexes = [
            models.Index(F("run"), F("id"), name="run_item_of_run"),
            # A claim finds the next items however many are done, the sweep those in progress
            # however many wait.
            models.Index(F("run"), F("id"), condition=Q(state="pending"), name="run_item_pending"),
            models.Index(F("run"), condition=Q(state="running"), name="run_item_running"),
            # Failed items are shown by cause, and few of a million.
            models.Index(
                F("run"),
                F("id"),
                condition=Q(state="failed"),
                include=["error_code", "conversation"],
                name="run_item_failed",
            ),
            models.Index(
                F("shipment"), condition=Q(shipment__isnull=False), name="run_item_shipment"
            ),
            models.Index(
                F("run"), condition=Q(direct=True, state="pending"), name="run_item_direct"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.run_id}:{self.conversation_id}"

    @property
    def is_final(self) -> bool:
        return self.state not in {ItemState.PENDING, ItemState.RUNNING}

    @property
    def shown_state(self) -> ItemState:
        """The state for people and programs."""
        if self.state == ItemState.PENDING and self.run.skips_pending:
            return ItemState.SKIPPED
        return ItemState(self.state)

    @property
    def shown_skip_reason(self) -> SkipReason | None:
        """Why it was skipped, None where it was not."""
        if self.state != ItemState.SKIPPED and self.shown_state == ItemState.SKIPPED:
            return SkipReason.CANCELED
        return SkipReason(self.skip_reason) if self.skip_reason else None

    @property
    def sentence(self) -> str:
        """The failure as a message."""
        return failure_sentence(self.error_code, self.error_message)


class ItemTally(models.Model):
    """What a statement changed in the counts of a run's items. Their sum is the run's progress.

    Written by triggers on the items (migration `0002_sql`), in the transaction that changes them,
    so that a sum is what counting them would give: but for pending ones, which are the rest.
    Nothing is updated, so that recorders never wait for each other. The sweep joins old rows.
    """

    run = models.ForeignKey(
        Run, on_delete=models.CASCADE, related_name="+", db_index=False, db_constraint=False
    )
    at = models.DateTimeField(help_text="When the items were finished, or the change was made.")
    running = models.IntegerField()
    done = models.IntegerField()
    changed = models.IntegerField(help_text="Done, with a value that differs from before.")
    skipped = models.IntegerField()
    failed = models.IntegerField()
    answered = models.IntegerField(help_text="Done, with a response of a model.")
    cost = models.DecimalField(max_digits=18, decimal_places=8)
    unpriced = models.IntegerField(help_text="Read by a model without a known price.")
    input_tokens = models.BigIntegerField()
    output_tokens = models.BigIntegerField()

    class Meta:
        ordering = ["pk"]
        indexes = [models.Index(fields=["run", "at"], name="run_tally_of_run")]

    def __str__(self) -> str:
        return f"{self.run_id}: {self.done:+} done"
