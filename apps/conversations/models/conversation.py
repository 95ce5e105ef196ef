"""Conversations, their transcripts, and the current result as columns."""

from datetime import datetime

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Left, Now

from apps.agents.models import Agent, AgentVersion, AnalysisConfig, Channel
from apps.contacts.models import Contact
from apps.core.ids import public_id


def conversation_id() -> str:
    """Return a fresh public id of a conversation."""
    return public_id("conv")


class Status(models.TextChoices):
    REGISTERED = "registered", "Registered"
    ONGOING = "ongoing", "Ongoing"
    ENDED = "ended", "Ended"
    NOT_CONNECTED = "not_connected", "Not connected"
    ERROR = "error", "Error"


OPEN = (Status.REGISTERED.value, Status.ONGOING.value)
CLOSED = (Status.ENDED.value, Status.NOT_CONNECTED.value, Status.ERROR.value)
API_SOURCE = "api"
"""The default source of the REST API: its threads are closed
explicitly, and only then."""
INACTIVITY = "inactivity"
"""Disconnection reason of what counts as ended because nothing more was heard of it."""


PLAIN_TEXT = {
    "disconnection_reason": "Disconnection reason",
    "language": "Language",
}
"""Columns of short text that any sender can fill, with their labels.

Parsing, merging, storing, filtering, and the conversation's *Details* follow this table
(docs/contributing/conversation-field.md).
"""


class Direction(models.TextChoices):
    INBOUND = "inbound", "Inbound"
    OUTBOUND = "outbound", "Outbound"


class AnalysisState(models.TextChoices):
    """State of the conversation's current result (docs/interfaces.md, *Closed lists*)."""

    NONE = "none", "Not analyzed"
    PENDING = "pending", "Queued"
    RUNNING = "running", "Running"
    SUCCEEDED = "succeeded", "Analyzed"
    FAILED = "failed", "Failed"
    SKIPPED = "skipped", "Skipped"


class Reason(models.TextChoices):
    """Why a conversation has no analysis (docs/interfaces.md, *Closed lists*)."""

    NOT_ENDED = "not_ended", "still in progress"
    NOT_CONNECTED = "not_connected", "never connected"
    NO_SPEECH = "no_speech", "no speech"
    EMPTY = "empty", "empty transcript"
    DISABLED = "disabled", "automatic analysis is off for this agent"
    SAMPLED_OUT = "sampled_out", "not in the agent's sample"
    TOO_SHORT = "too_short", "shorter than the agent's minimum length"
    WAITING_FOR_PLATFORM = "waiting_for_platform", "waiting for the platform's analysis"
    WAITING_FOR_PROVIDER = "waiting_for_provider", "waiting for the model's provider"
    NO_PLATFORM_ANALYSIS = "no_platform_analysis", "the platform sent no analysis of its own"
    UNCONFIGURED = "unconfigured", "the agent needs setup"
    BUDGET = "budget", "waiting because a spending cap is reached"


class TransferSetting(models.TextChoices):
    """A transfer's *Post call analysis setting*."""

    ONLY_DESTINATION_AGENT = "only_destination_agent", "Only transferred agent"
    BOTH_AGENTS = "both_agents", "Both this agent and transferred agent"


class Trigger(models.TextChoices):
    """What made an analysis (docs/interfaces.md, *Closed lists*)."""

    INITIAL = "initial", "First analysis"
    RERUN = "rerun", "Rerun"
    BACKFILL = "backfill", "Backfill"
    IMPORTED = "imported", "Imported"
    MANUAL = "manual", "Manual"
    RESTORED = "restored", "Restored"
    COMPUTED = "computed", "Computed again"


EXCERPT = 400
"""Characters of a summary in a list. A whole one may be a hundred times as long."""


class ConversationQuerySet(models.QuerySet["Conversation"]):
    def with_agents(self) -> "ConversationQuerySet":
        """Return what a history page shows of each conversation, in one query."""
        return self.select_related("agent", "agent_version", "contact", "analysis_config")

    def with_excerpt(self) -> "ConversationQuerySet":
        """Read the beginning of each summary as ``excerpt``, and not the summary."""
        return self.defer("summary").annotate(excerpt=Left("summary", EXCERPT + 1))


class Conversation(models.Model):
    """A call or a chat, with the current analysis as columns to filter and sort by.

    The result columns (``summary`` to ``analyzed_at``) are written by one function only, the one
    that makes an analysis current. Few indexes: each one makes every result dearer to record.
    """

    public_id = models.CharField(max_length=40, default=conversation_id, editable=False)
    source = models.CharField(max_length=100, default=API_SOURCE)
    external_id = models.CharField(max_length=300)
    channel = models.CharField(max_length=10, choices=Channel.choices)
    agent = models.ForeignKey(
        Agent, on_delete=models.PROTECT, related_name="conversations", db_index=False
    )
    agent_version = models.ForeignKey(
        AgentVersion, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    status = models.CharField(max_length=20, choices=Status.choices, default=Status.ENDED)
    language = models.CharField(max_length=35, blank=True)
    direction = models.CharField(max_length=10, blank=True, choices=Direction.choices)
    from_number = models.CharField(max_length=60, blank=True)
    to_number = models.CharField(max_length=60, blank=True)
    disconnection_reason = models.CharField(max_length=100, blank=True)
    recording_url = models.TextField(blank=True)
    contact = models.ForeignKey(
        Contact, on_delete=models.SET_NULL, null=True, blank=True, related_name="conversations"
    )
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    duration_ms = models.BigIntegerField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    sort_at = models.DateTimeField(
        db_default=Now(), help_text="Start, or arrival where no start is known."
    )

    message_count = models.PositiveIntegerField(default=0)
    last_message_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When the last message was said; of an open call, when anything was heard of it.",
    )
    has_speech = models.BooleanField(
        default=False, help_text="Whether an agent or a user said anything."
    )
    prompt_tokens_est = models.PositiveIntegerField(
        default=0, help_text="Estimated tokens of the transcript in a prompt."
    )
    route = models.TextField(
        help_text="Normalized chain of agents whose configs are folded: '3', or '3+5'."
    )
    stale = models.BooleanField(
        default=False, help_text="Messages came after the analysis was made."
    )
    analyze_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="It has ended, and its analysis is asked for by then; empty once it was.",
    )
    idle_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When an open conversation counts as ended, should nothing come until then.",
    )

    # The current result, as columns
    analysis_state = models.CharField(
        max_length=10, choices=AnalysisState.choices, default=AnalysisState.NONE
    )
    analysis_reason = models.CharField(
        max_length=30, blank=True, help_text="Why there is none, or the error code of a failure."
    )
    summary = models.TextField(blank=True)
    outcome = models.CharField(max_length=200, blank=True)
    successful = models.BooleanField(null=True, blank=True)
    sentiment = models.CharField(max_length=200, blank=True)
    analysis_data = models.JSONField(null=True, blank=True)
    analysis_config = models.ForeignKey(
        AnalysisConfig,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
    )
    analysis_trigger = models.CharField(max_length=10, blank=True, choices=Trigger.choices)
    analysis_model = models.CharField(max_length=200, blank=True)
    analysis_cost = models.DecimalField(max_digits=14, decimal_places=8, null=True, blank=True)
    analyzed_at = models.DateTimeField(null=True, blank=True)

    objects = ConversationQuerySet.as_manager()

    class Meta:
        ordering = ["-sort_at", "-pk"]
        constraints = [
            models.UniqueConstraint(fields=["public_id"], name="conversation_public_id_once"),
            # External ID first: it is also looked for without its source.
            models.UniqueConstraint(
                fields=["external_id", "source"], name="conversation_source_external_id_once"
            ),
            models.CheckConstraint(
                condition=Q(channel__in=Channel.values), name="conversation_channel_known"
            ),
            models.CheckConstraint(
                condition=Q(status__in=Status.values), name="conversation_status_known"
            ),
            models.CheckConstraint(
                condition=Q(analysis_state__in=AnalysisState.values),
                name="conversation_analysis_state_known",
            ),
            models.CheckConstraint(
                condition=Q(duration_ms=None) | Q(duration_ms__gte=0),
                name="conversation_duration_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(recording_url="") | Q(recording_url__regex=r"^https?://"),
                name="conversation_recording_url_http",
            ),
            models.CheckConstraint(
                condition=Q(analyze_at=None) | Q(status__in=CLOSED), name="conversation_due_ended"
            ),
            models.CheckConstraint(
                condition=Q(idle_at=None) | Q(status__in=OPEN), name="conversation_idle_is_open"
            ),
        ]
        indexes = [
            models.Index(F("channel"), F("sort_at").desc(), F("id").desc(), name="conv_recent"),
            models.Index(F("agent"), F("sort_at").desc(), F("id").desc(), name="conv_agent_recent"),
            GinIndex(
                fields=["analysis_data"], name="conv_analysis_data", opclasses=["jsonb_path_ops"]
            ),
            # A call is looked for by its number: whole, or by its beginning.
            *(
                models.Index(
                    fields=[number],
                    condition=~Q(**{number: ""}),
                    opclasses=["varchar_pattern_ops"],
                    name=f"conv_{number}",
                )
                for number in ("from_number", "to_number")
            ),
            # What sweeps look for every few seconds: a handful of rows, whatever the table holds.
            models.Index(
                fields=["analyze_at"], condition=Q(analyze_at__isnull=False), name="conv_due"
            ),
            models.Index(fields=["idle_at"], condition=Q(idle_at__isnull=False), name="conv_idle"),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def plain_texts(self) -> dict[str, str]:
        """Values of the columns of `PLAIN_TEXT`, by name."""
        return {name: getattr(self, name) for name in PLAIN_TEXT}

    @property
    def has_ended(self) -> bool:
        return self.status in CLOSED

    @property
    def silent_since(self) -> datetime | None:
        """Return when an open conversation was last heard of; None once it has ended."""
        return None if self.has_ended else self.last_message_at


class Attributes(models.Model):
    """Metadata and dynamic variables, next to the conversation so that recording a result
    does not touch their indexes."""

    conversation = models.OneToOneField(
        Conversation, on_delete=models.CASCADE, primary_key=True, related_name="attributes"
    )
    metadata = models.JSONField(default=dict)
    dynamic_variables = models.JSONField(default=dict)

    class Meta:
        indexes = [
            GinIndex(fields=["metadata"], name="attr_metadata", opclasses=["jsonb_path_ops"]),
            GinIndex(
                fields=["dynamic_variables"], name="attr_variables", opclasses=["jsonb_path_ops"]
            ),
        ]

    def __str__(self) -> str:
        return f"attributes of {self.conversation_id}"


class Transcript(models.Model):
    """The ordered messages, in one row so that a prompt needs one read.

    Each message is ``{"role", "content", "at"?}`` with ``at`` in ISO 8601 where it is known;
    roles: agent, user, system, tool_call, tool_result, transfer, dtmf, event.
    """

    conversation = models.OneToOneField(
        Conversation, on_delete=models.CASCADE, primary_key=True, related_name="transcript"
    )
    messages = models.JSONField(default=list)

    def __str__(self) -> str:
        return f"transcript of {self.conversation_id}"


class SearchText(models.Model):
    """Words to search by: ids, numbers, summary and transcript, in one narrow table."""

    conversation = models.OneToOneField(
        Conversation, on_delete=models.CASCADE, primary_key=True, related_name="search_text"
    )
    words = SearchVectorField()
    summary_words = SearchVectorField(null=True)

    class Meta:
        indexes = [
            GinIndex(fields=["words"], name="search_words", fastupdate=True),
            GinIndex(fields=["summary_words"], name="search_summary_words", fastupdate=True),
        ]

    def __str__(self) -> str:
        return f"search text of {self.conversation_id}"


class Transfer(models.Model):
    """A conversation's move to another agent's version."""

    conversation = models.ForeignKey(
        Conversation, on_delete=models.CASCADE, related_name="transfers"
    )
    position = models.PositiveIntegerField()
    after_message = models.PositiveIntegerField()
    to_version = models.ForeignKey(AgentVersion, on_delete=models.PROTECT, related_name="+")
    setting = models.CharField(max_length=30, choices=TransferSetting.choices)

    class Meta:
        ordering = ["position", "pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["conversation", "position"], name="transfer_position_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.conversation_id} → {self.to_version}"
