"""Agents, their versions and what those ask of a model."""

from typing import Any, NoReturn

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower, Now

from apps.core.ids import public_id
from apps.llm.models import LanguageModel

from .documents import Columns, ConfigDocument, parse_config


def agent_id() -> str:
    """Return a fresh public id of an agent."""
    return public_id("agt")


class Channel(models.TextChoices):
    VOICE = "voice", "Voice"
    CHAT = "chat", "Chat"

    def noun(self, count: int = 2) -> str:
        """Return what this many conversations are called: call, calls, chat, or chats."""
        word = "call" if self == Channel.VOICE else "chat"
        return word if count == 1 else f"{word}s"


class Immutable(TypeError):
    """Raised for any attempt to change append-only rows; the database rejects it too."""


class AnalysisConfigQuerySet(models.QuerySet["AnalysisConfig"]):
    """Rejects changes to rows; a trigger of the database rejects them again."""

    def update(self, **kwargs: Any) -> NoReturn:
        raise Immutable("An analysis config is never changed: store another one.")

    def delete(self) -> NoReturn:
        raise Immutable("An analysis config is never deleted: results name it.")


class AnalysisConfig(models.Model):
    """Everything that determines a request, named by the hash of its content.

    Rows are immutable and shared: two equal documents are one row, whichever agent, version or
    merge of agents they come from. The document is text because jsonb forgets the order of keys,
    and the order of fields is meaning: it is the order in which a model fills them.
    """

    sha256 = models.CharField(max_length=64, unique=True)
    document = models.TextField()
    model = models.ForeignKey(LanguageModel, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(db_default=Now())

    objects = AnalysisConfigQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(sha256__regex=r"^[0-9a-f]{64}$"), name="analysis_config_sha256_hex"
            )
        ]

    def __str__(self) -> str:
        return self.short

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Adds the row; rejects changes to an existing one."""
        if not self._state.adding:
            raise Immutable("An analysis config is never changed: store another one.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Reject."""
        raise Immutable("An analysis config is never deleted: results name it.")

    @property
    def name(self) -> str:
        """Return the name that the API and pages show: ``sha256:<hex>``."""
        return f"sha256:{self.sha256}"

    @property
    def short(self) -> str:
        """The first characters of the hash, enough for a person to distinguish two configs."""
        return self.sha256[:7]

    def parsed(self) -> ConfigDocument:
        """Return the document as a dataclass; parsing is cached by hash."""
        return parse_config(self.document, self.sha256)


class AgentQuerySet(models.QuerySet["Agent"]):
    def active(self) -> "AgentQuerySet":
        """Agents that are in use."""
        return self.filter(deactivated_at=None)

    def in_page_order(self) -> "AgentQuerySet":
        """Return those in use first, by name."""
        return self.order_by(F("deactivated_at").asc(nulls_first=True), Lower("name"), "pk")


class Agent(models.Model):
    """A voice or chat agent whose conversations are analyzed."""

    public_id = models.CharField(max_length=40, unique=True, default=agent_id, editable=False)
    name = models.CharField(max_length=200)
    channel = models.CharField(max_length=10, choices=Channel.choices)
    external_id = models.CharField(
        max_length=200, blank=True, help_text="The agent's id on the platform that runs it."
    )
    unconfigured = models.BooleanField(
        default=False, help_text="Created by a source for an agent that needs setup."
    )
    deactivated_at = models.DateTimeField(null=True, blank=True)
    created_by = models.CharField(max_length=200)
    created_at = models.DateTimeField(db_default=Now())

    objects = AgentQuerySet.as_manager()

    class Meta:
        ordering = ["name", "pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(channel__in=Channel.values), name="agent_channel_known"
            ),
            models.CheckConstraint(condition=~Q(name=""), name="agent_name_given"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def sessions_word(self) -> str:
        """Return what its conversations are called in the plural: calls or chats."""
        return Channel(self.channel).noun()

    @property
    def extraction_title(self) -> str:
        """Return the name of the section with prompts and fields."""
        said = "Call" if self.channel == Channel.VOICE else "Chat"
        return f"Post-{said} Data Extraction"


class AgentVersionQuerySet(models.QuerySet["AgentVersion"]):
    def drafts(self) -> "AgentVersionQuerySet":
        """Return the working draft of each agent."""
        return self.filter(published_at=None)

    def published(self) -> "AgentVersionQuerySet":
        return self.exclude(published_at=None)

    def with_config(self) -> "AgentVersionQuerySet":
        """Return what a page or a fold needs to read the version's config without another query."""
        return self.select_related("agent", "config__model")

    def update(self, **kwargs: Any) -> int:
        """Reject where a published version is among the rows; so does a trigger."""
        if self.published().exists():
            raise Immutable("A published version is never changed; the draft is.")
        return super().update(**kwargs)

    def delete(self) -> tuple[int, dict[str, int]]:
        """Reject where a published version is among the rows; so does a trigger."""
        if self.published().exists():
            raise Immutable("A published version is never deleted.")
        return super().delete()


class AgentVersion(models.Model):
    """One numbered version; exactly one per agent is the unpublished draft.

    ``editor_document`` is what the editors show, in the API's ``analysis`` shape: it also keeps
    the text of built-ins that are switched off. ``config`` is what follows from it for a request.
    """

    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    editor_document = models.TextField()
    config = models.ForeignKey(AnalysisConfig, on_delete=models.PROTECT, related_name="+")
    save_count = models.PositiveIntegerField(
        default=0, help_text="Goes up with each save, so that a second editor is noticed."
    )
    saved_at = models.DateTimeField(db_default=Now())
    saved_by = models.CharField(max_length=200)

    published_at = models.DateTimeField(null=True, blank=True)
    published_by = models.CharField(max_length=200, blank=True)
    title = models.CharField(max_length=200, blank=True)
    note = models.TextField(blank=True)

    # Advanced → Post Analysis
    long_transcript = models.CharField(
        max_length=10,
        choices=[("refuse", "Refuse"), ("truncate", "Keep the beginning and the end")],
        default="refuse",
    )
    post_analysis_enabled = models.BooleanField(default=True)
    sample_percent = models.DecimalField(max_digits=6, decimal_places=3, default=100)
    min_seconds = models.PositiveIntegerField(default=0)
    min_messages = models.PositiveIntegerField(default=0)
    chat_idle_seconds = models.PositiveIntegerField(default=3600)
    retention_days = models.PositiveIntegerField(null=True, blank=True)

    # Which field feeds each history column; empty shows nothing.
    summary_field = models.CharField(max_length=200, blank=True)
    outcome_field = models.CharField(max_length=200, blank=True)
    sentiment_field = models.CharField(max_length=200, blank=True)

    objects = AgentVersionQuerySet.as_manager()

    class Meta:
        ordering = ["agent", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["agent", "number"], name="agent_version_number_once"),
            models.UniqueConstraint(
                fields=["agent"], condition=Q(published_at=None), name="agent_one_draft"
            ),
            models.CheckConstraint(
                condition=Q(sample_percent__gte=0, sample_percent__lte=100),
                name="agent_version_sample_percent_range",
            ),
            models.CheckConstraint(
                condition=Q(chat_idle_seconds__gte=120, chat_idle_seconds__lte=259_200),
                name="agent_version_chat_idle_range",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.label} draft" if self.is_draft else self.label

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Rejects changes to a published version; a trigger rejects them again."""
        if not self._state.adding:
            self._refuse_if_published("changed; the draft is")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Rejects deleting a published version; a trigger rejects it again."""
        self._refuse_if_published("deleted")
        return super().delete(*args, **kwargs)

    def _refuse_if_published(self, done: str) -> None:
        # Asked of the database: this object may not know that it was published since.
        if AgentVersion.objects.published().filter(pk=self.pk).exists():
            raise Immutable(f"{self.label} is published and never {done}.")

    @property
    def label(self) -> str:
        return f"V{self.number}"

    @property
    def is_draft(self) -> bool:
        return self.published_at is None

    @property
    def columns(self) -> Columns:
        """Return the history columns that this version feeds."""
        return Columns(self.summary_field, self.outcome_field, self.sentiment_field)


class ConfigSave(models.Model):
    """One save of a draft: who, when, and its content."""

    agent_version = models.ForeignKey(AgentVersion, on_delete=models.CASCADE, related_name="saves")
    config = models.ForeignKey(AnalysisConfig, on_delete=models.PROTECT, related_name="+")
    editor_document = models.TextField()
    settings = models.JSONField(
        default=dict, help_text="Post-analysis settings and history columns as they were saved."
    )
    note = models.CharField(max_length=200, blank=True, help_text="For example “restored V2”.")
    by = models.CharField(max_length=200)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.agent_version} saved by {self.by}"


class DerivedType(models.TextChoices):
    BOOLEAN = "boolean", "Yes/no"
    CHOICE = "choice", "Choice"
    NUMBER = "number", "Scorecard"


class DerivedField(models.Model):
    """A field of results that is computed from other fields, without a model.

    ``definition`` is read by `apps/conversations/derived`. ``properties`` is the JSON Schema of
    each field that it adds to a result, as text that keeps the order.
    """

    name = models.CharField(max_length=60, unique=True)
    label = models.CharField(max_length=100)
    type = models.CharField(max_length=10, choices=DerivedType.choices)
    channel = models.CharField(max_length=10, choices=Channel.choices)
    agent = models.ForeignKey(
        Agent, on_delete=models.CASCADE, null=True, blank=True, related_name="derived_fields"
    )
    definition = models.JSONField()
    properties = models.TextField()
    created_by = models.CharField(max_length=200)
    created_at = models.DateTimeField(db_default=Now())
    updated_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(type__in=DerivedType.values), name="derived_type_known"
            ),
        ]

    def __str__(self) -> str:
        return self.name
