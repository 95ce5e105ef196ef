"""One immutable result, or failure, of one pass over a conversation."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from apps.agents.models import AgentVersion, AnalysisConfig
from apps.conversations.models import Conversation, Trigger
from apps.core import display
from apps.core.ids import public_id
from apps.llm.errors import ErrorCode, failure_sentence
from apps.llm.specs import Priority


def analysis_id() -> str:
    """Return a new public ID of an analysis."""
    return public_id("an")


MOST_TRIES = 24
"""A first analysis fails at this attempt, some eight hours after the first one."""


class State(models.TextChoices):
    PENDING = "pending", "Queued"
    RUNNING = "running", "Running"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"


class Webhooks(models.TextChoices):
    """Which results are sent to webhook endpoints."""

    OFF = "off", "None"
    CHANGED = "changed", "Only where a value changed"
    ALL = "all", "All"


class Reservation(models.Model):
    """Money set aside for requests that have no analysis yet: those of a batch at the provider.

    Public IDs as plain text: what holds it is in an app above this one.
    """

    holder = models.CharField(max_length=40)
    run_id = models.CharField(max_length=40)
    agent_id = models.CharField(max_length=40)
    amount = models.DecimalField(max_digits=18, decimal_places=9)

    class Meta:
        ordering = ["holder", "agent_id"]
        constraints = [
            models.UniqueConstraint(fields=["holder", "agent_id"], name="reservation_once"),
            models.CheckConstraint(condition=Q(amount__gte=0), name="reservation_not_negative"),
        ]
        indexes = [models.Index(fields=["run_id"], name="reservation_run")]

    def __str__(self) -> str:
        return f"{self.holder} {self.agent_id}: {self.amount}"


class AnalysisQuerySet(models.QuerySet["Analysis"]):
    def current(self) -> "AnalysisQuerySet":
        return self.filter(is_current=True)

    def open(self) -> "AnalysisQuerySet":
        """Return pending and running analyses: at most one per conversation."""
        return self.filter(state__in=[State.PENDING, State.RUNNING])

    def with_config(self) -> "AnalysisQuerySet":
        """Load everything that a page shows of each analysis, in one query."""
        return self.select_related("config", "agent_version__agent")


class Analysis(models.Model):
    """One pass. Work until it is final; immutable from then on, but for ``is_current``.

    A pending or running row *is* the queue: a worker claims it with a lease and a token, and
    records only while it still holds that token (docs/architecture.md).
    """

    public_id = models.CharField(max_length=40, default=analysis_id, editable=False)
    conversation = models.ForeignKey(
        Conversation, on_delete=models.CASCADE, related_name="analyses", db_index=False
    )
    config = models.ForeignKey(
        AnalysisConfig,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        help_text="Empty only for what another platform made.",
    )
    agent_version = models.ForeignKey(
        AgentVersion,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        help_text="The version whose prompts were used: of the last agent, where transferred.",
    )
    columns = models.JSONField(
        default=dict, help_text="Which field feeds each history column: summary, outcome, …"
    )
    trigger = models.CharField(max_length=10, choices=Trigger.choices)
    priority = models.CharField(
        max_length=12,
        choices=Priority.choices,
        default=Priority.INTERACTIVE,
        help_text="Which queue it waits in, so that a person does not wait behind a backfill.",
    )
    webhooks = models.CharField(
        max_length=10,
        choices=Webhooks.choices,
        default=Webhooks.ALL,
        db_default=Webhooks.ALL.value,
        help_text="Whether webhooks are sent for its result.",
    )
    contacts = models.BooleanField(
        default=True, db_default=True, help_text="Whether its result updates contacts."
    )
    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    is_current = models.BooleanField(default=False)
    requested_by = models.CharField(max_length=200)
    backfill_public_id = models.CharField(max_length=40, blank=True)
    restored_from = models.ForeignKey(
        "self",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        db_constraint=False,  # a migration makes it one of the same conversation
    )

    output = models.JSONField(null=True, blank=True)
    field_order = models.JSONField(
        default=list, help_text="Names in the order of the config: jsonb does not keep it."
    )
    missing_required = models.JSONField(default=list)
    truncated = models.BooleanField(
        default=False, help_text="Only the beginning and the end of the transcript were read."
    )
    messages_read = models.PositiveIntegerField(null=True, blank=True)
    raw_output = models.TextField(blank=True, help_text="Stored where the response was not usable.")
    error_code = models.CharField(max_length=30, blank=True, choices=ErrorCode.choices)
    error_message = models.TextField(blank=True)

    model = models.CharField(max_length=200, blank=True)
    request_id = models.CharField(max_length=200, blank=True)
    requests = models.PositiveIntegerField(default=0)
    input_tokens = models.PositiveIntegerField(null=True, blank=True)
    cached_tokens = models.PositiveIntegerField(null=True, blank=True)
    output_tokens = models.PositiveIntegerField(null=True, blank=True)
    usage_estimated = models.BooleanField(
        default=False, db_default=False, help_text="The provider did not report all of the tokens."
    )
    usage_note = models.CharField(
        max_length=200,
        blank=True,
        default="",
        db_default="",
        help_text="How counts that contradict themselves were read.",
    )
    prices = models.JSONField(null=True, blank=True, help_text="Per million tokens, at that time.")
    cost = models.DecimalField(max_digits=14, decimal_places=8, null=True, blank=True)
    latency_ms = models.PositiveIntegerField(null=True, blank=True)
    reserved = models.DecimalField(
        max_digits=18,
        decimal_places=9,
        null=True,
        blank=True,
        help_text="What its request may cost at most, set aside until its cost is recorded. Only "
        "where a budget or a cap is set.",
    )

    lease_token = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveIntegerField(
        default=0, help_text="How often a worker took it; above a limit it fails as internal."
    )
    tries = models.PositiveIntegerField(
        default=0,
        db_default=0,
        help_text="How often its provider could not be asked; above a limit it fails.",
    )
    not_before = models.DateTimeField(
        null=True, blank=True, help_text="It waits for its provider until then."
    )
    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = AnalysisQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "analyses"
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(fields=["public_id"], name="analysis_public_id_once"),
            # Finds the analyses of a conversation, and is what two-column foreign keys refer to.
            models.UniqueConstraint(fields=["conversation", "id"], name="analysis_of_conversation"),
            models.UniqueConstraint(
                fields=["conversation"], condition=Q(is_current=True), name="analysis_one_current"
            ),
            models.UniqueConstraint(
                fields=["conversation"],
                condition=Q(state__in=["pending", "running"]),
                name="analysis_one_open",
            ),
            models.CheckConstraint(
                condition=Q(state__in=State.values), name="analysis_state_known"
            ),
            models.CheckConstraint(
                condition=Q(webhooks__in=Webhooks.values), name="analysis_webhooks_known"
            ),
            models.CheckConstraint(
                condition=~Q(state=State.RUNNING) | Q(lease_token__isnull=False),
                name="analysis_running_is_leased",
            ),
            models.CheckConstraint(
                condition=Q(is_current=False) | Q(state=State.SUCCEEDED),
                name="analysis_current_succeeded",
            ),
            models.CheckConstraint(
                condition=Q(config__isnull=False)
                | Q(trigger__in=["imported", "restored", "computed"]),
                name="analysis_has_config",
            ),
            models.CheckConstraint(
                condition=Q(reserved__isnull=True) | Q(state__in=[State.PENDING, State.RUNNING]),
                name="analysis_reserved_is_open",
            ),
            models.CheckConstraint(
                condition=~Q(state=State.FAILED) | ~Q(error_code=""),
                name="analysis_failure_has_code",
            ),
        ]
        indexes = [
            models.Index(
                fields=["priority", "id"],
                condition=Q(state__in=["pending", "running"]),
                name="analysis_work",
            ),
            models.Index(
                fields=["backfill_public_id"],
                condition=Q(reserved__isnull=False),
                name="analysis_reserved",
            ),
            models.Index(
                fields=["finished_at"], condition=Q(state="failed"), name="analysis_failed_at"
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def is_final(self) -> bool:
        return self.state not in {State.PENDING, State.RUNNING}

    @property
    def waits_for_provider(self) -> bool:
        """Return whether it met an outage or a limit and is retried automatically."""
        return self.state == State.PENDING and self.tries > 0

    @property
    def waiting_sentence(self) -> str:
        """Return why it waits and when it is retried, for people."""
        left = ((self.not_before or timezone.now()) - timezone.now()).total_seconds()
        when = f"in {display.timespan(left)}" if left >= 1 else "now"
        return f"{self.sentence} Next attempt {when} (attempt {self.tries + 1} of {MOST_TRIES})."

    @property
    def seconds_waiting(self) -> int:
        """Return how many seconds ago it was requested."""
        return max(0, int((timezone.now() - self.created_at).total_seconds()))

    @property
    def sentence(self) -> str:
        """A failure in words: what its code means, then what the provider or we said of it."""
        return failure_sentence(self.error_code, self.error_message)

    @property
    def own_output(self) -> dict[str, object]:
        """Return the values that a model or a platform gave, without derived fields."""
        output = self.output or {}
        return {name: output[name] for name in self.field_order if name in output}

    def ordered_output(self) -> dict[str, object]:
        """Return the values in the order of the config's fields, without empty ones."""
        output = self.output or {}
        names = [n for n in self.field_order if n in output]
        return {n: output[n] for n in [*names, *(k for k in output if k not in names)]}
