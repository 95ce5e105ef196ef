"""Runs: work over many conversations, frozen when it was saved."""

import json
from datetime import timedelta
from decimal import Decimal

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from apps.agents.models import Agent, Channel
from apps.core.ids import public_id

#: How long a test run is stored.
TRIAL_RETENTION = timedelta(days=7)
#: The largest number of conversations of a test run, and the default.
MAX_TRIAL_SIZE, USUAL_TRIAL_SIZE = 50, 5


def run_id() -> str:
    """Return a new public ID of a run."""
    return public_id("bf")


class Kind(models.TextChoices):
    """What a run is for.

    A backfill records its results on the conversations. A test run (`TRIAL`) tries drafts: its
    results stay on its items and are deleted after some days. A rollback restores the results
    that were current before another run. A mapping run applies mappings to
    current results. A recomputation gives past results the values of a derived field. None of
    these three asks a model.
    """

    BACKFILL = "backfill", "Backfill"
    TRIAL = "trial", "Test run"
    ROLLBACK = "rollback", "Rollback"
    MAPPING = "mapping", "Mapping run"
    DERIVED = "derived", "Recomputation"


WITHOUT_MODEL = (Kind.ROLLBACK, Kind.MAPPING, Kind.DERIVED)
"""Runs that ask no model: `batches` does their work."""


class State(models.TextChoices):
    """Closed list of docs/interfaces.md."""

    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    PAUSED = "paused", "Paused"
    CANCELLING = "cancelling", "Canceling"
    COMPLETED = "completed", "Completed"
    CANCELLED = "cancelled", "Canceled"


ACTIVE = (State.QUEUED, State.RUNNING, State.PAUSED, State.CANCELLING)


class PauseReason(models.TextChoices):
    BY_USER = "by_user", "Paused by a user"
    AUTH = "auth", "The provider rejected the API key"
    QUOTA = "quota", "The provider account is out of credit or quota"
    PROVIDER_DOWN = "provider_down", "The provider isn’t responding"
    RATE_LIMITED = "rate_limited", "The provider limits the rate of requests"
    BUDGET = "budget", "The budget is reached"
    BATCHES = "batches", "The provider didn’t complete a batch"


BY_ITSELF = frozenset({PauseReason.PROVIDER_DOWN, PauseReason.RATE_LIMITED})
"""Pauses that end without a person."""


class RunQuerySet(models.QuerySet["Run"]):
    def backfills(self) -> "RunQuerySet":
        return self.filter(kind="backfill")

    def lasting(self) -> "RunQuerySet":
        """Return the runs that change conversations: all but test runs."""
        return self.exclude(kind="trial").select_related("of")

    def in_batches(self) -> "RunQuerySet":
        """Backfills whose requests go through the provider's Batch API."""
        return self.filter(kind="backfill", options__lane="economy")

    def without_model(self) -> "RunQuerySet":
        return self.filter(kind__in=WITHOUT_MODEL)

    def trials(self) -> "RunQuerySet":
        return self.filter(kind="trial")

    def active(self) -> "RunQuerySet":
        """Runs that may still do something, paused ones included."""
        return self.filter(state__in=["queued", "running", "paused", "cancelling"])

    def claimable(self) -> "RunQuerySet":
        """Runs from which workers take items: their lists are frozen."""
        return self.filter(state__in=["queued", "running"], freezing=False)

    def retrying(self) -> "RunQuerySet":
        """Runs whose failed items workers still queue again."""
        going = self.filter(state__in=["queued", "running", "paused"])
        return going.filter(retry_without__isnull=False)

    def freezing(self) -> "RunQuerySet":
        """Runs whose lists workers still write: paused ones too, as of the agreed moment."""
        return self.filter(state__in=["queued", "paused"], freezing=True)


class Run(models.Model):
    """A request, its author, and its progress. Counts are read from the items.

    ``plan`` freezes what each route of agents is read with: a list of ``{"route",
    "agent_version", "config", "columns", "conversations"}``. ``save_token`` makes a second Save
    of the same form find the first one. A test run with an ``agent`` reads every conversation
    with the draft of that agent; without one, it reads each with the drafts of its own route.
    """

    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.BACKFILL)
    public_id = models.CharField(max_length=40, unique=True, default=run_id, editable=False)
    agent = models.ForeignKey(
        Agent, on_delete=models.CASCADE, null=True, blank=True, related_name="trials"
    )
    of = models.ForeignKey(
        "self",
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="rollbacks",
        help_text="The run that a rollback undoes.",
    )
    channel = models.CharField(max_length=10, choices=Channel.choices)
    filters = models.JSONField(default=dict)
    options = models.JSONField(default=dict)
    plan = models.JSONField(default=list)
    as_of = models.DateTimeField(help_text="The moment of the preview that was agreed to.")
    estimate = models.JSONField(default=dict)
    left_out = models.JSONField(
        default=list,
        help_text="Conversations that a test run could not read: their IDs, and why.",
    )
    save_token = models.CharField(max_length=64, unique=True)
    total = models.PositiveIntegerField(
        default=0, help_text="Items: while the list is being frozen, the agreed number."
    )
    freezing = models.BooleanField(
        default=False, db_default=False, help_text="Its list of items is not complete yet."
    )
    frozen = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Items written so far, while it is freezing."
    )
    frozen_from = models.BigIntegerField(
        null=True, blank=True, help_text="The highest key of the rows that the list is made of."
    )
    frozen_next = models.JSONField(
        default=list,
        blank=True,
        help_text="The next range of keys of each slot that writes the list, null for none.",
    )

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
    retry_without = models.JSONField(
        null=True,
        blank=True,
        help_text="Error codes left out, while a worker queues failed items again.",
    )
    created_by = models.CharField(max_length=200)
    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=State.values), name="run_state_known"),
            models.CheckConstraint(
                condition=~Q(kind="rollback") | Q(of__isnull=False), name="run_rollback_of_one"
            ),
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
    def skips_pending(self) -> bool:
        """Return whether its pending items count as skipped, without being written again."""
        return self.state == State.CANCELLED and self.kind != Kind.TRIAL

    def stored_states(self, shown: str) -> list[str]:
        """Return the states of the items that count as being in one."""
        if not self.skips_pending:
            return [shown]
        return {"skipped": ["skipped", "pending"], "pending": []}.get(shown, [shown])

    @property
    def asks_model(self) -> bool:
        return self.kind not in WITHOUT_MODEL

    @property
    def can_retry(self) -> bool:
        """Return whether failed items may be queued again: not canceled, and not at it already."""
        stopped = self.state in {State.CANCELLING, State.CANCELLED}
        return not stopped and self.retry_without is None

    @property
    def can_roll_back(self) -> bool:
        """Return whether its results can be taken back: it has ended and changed conversations."""
        return not self.is_active and self.kind in {
            Kind.BACKFILL,
            Kind.ROLLBACK,
            Kind.DERIVED,
        }

    @property
    def is_free(self) -> bool:
        """Return whether nothing was expected to be paid; an unknown price is not free."""
        cost = self.estimate.get("cost")
        return cost is not None and not Decimal(cost)
