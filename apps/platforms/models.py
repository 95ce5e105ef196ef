"""Sources at other platforms, and every payload that was stored."""

from datetime import datetime

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from apps.agents.models import Agent
from apps.conversations.models import Conversation
from apps.core.ids import public_id


def source_id() -> str:
    """Return a fresh public id of an intake source, the last part of its receiver's path."""
    return public_id("in")


class Platform(models.TextChoices):
    RETELL = "retell", "Retell"
    VAPI = "vapi", "Vapi"
    ELEVENLABS = "elevenlabs", "ElevenLabs"


class PlatformAnalysis(models.TextChoices):
    """What becomes of the analysis that the platform made itself."""

    THEIRS = "theirs", "Use the platform’s analysis"
    OURS = "ours", "Run Debrief’s analysis"
    WAIT = "wait", "Wait for the platform’s, then run Debrief’s"


class PayloadState(models.TextChoices):
    TAKEN = "taken", "Accepted"
    REFUSED = "refused", "Rejected"


class IntakeSource(models.Model):
    """One account at a platform, with its own receiver, secret and rule.

    ``secret_encrypted`` is what the platform signs with, as ciphertext of ``apps.core.cipher``: it
    has to be read again to verify. Some platforms create it only once they know the webhook URL;
    until it is entered, ``secret_set_at`` is null, the column holds a secret that no one has, and
    whatever arrives is rejected and stored.
    """

    public_id = models.CharField(max_length=40, unique=True, default=source_id, editable=False)
    kind = models.CharField(max_length=15, choices=Platform.choices)
    name = models.CharField(max_length=100, unique=True)
    secret_encrypted = models.BinaryField()
    secret_set_at = models.DateTimeField(null=True, blank=True)
    platform_analysis = models.CharField(
        max_length=10, choices=PlatformAnalysis.choices, default=PlatformAnalysis.OURS
    )
    wait_minutes = models.PositiveIntegerField(
        default=10, help_text="Minutes to wait for the platform's analysis; at most a day."
    )
    created_by = models.CharField(max_length=200)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["name", "pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=Platform.values), name="intake_source_kind_known"
            ),
            models.CheckConstraint(condition=~Q(name=""), name="intake_source_name_given"),
            models.CheckConstraint(
                condition=~Q(secret_encrypted=b""), name="intake_source_secret_given"
            ),
            models.CheckConstraint(
                condition=Q(platform_analysis__in=PlatformAnalysis.values),
                name="intake_source_analysis_known",
            ),
            models.CheckConstraint(
                condition=Q(wait_minutes__gte=1, wait_minutes__lte=1440),
                name="intake_source_wait_range",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class SourceAgent(models.Model):
    """The source's map from the platform's agents to Debrief's, one row per agent.

    Two of the platform's agents may map to one agent. One that the map lacks is found by
    ``Agent.external_id``, else made, unconfigured; it is on the map from then on.
    """

    source = models.ForeignKey(
        IntakeSource, on_delete=models.CASCADE, related_name="agents", db_index=False
    )
    external_id = models.CharField(max_length=200, help_text="The agent's id on the platform.")
    agent = models.ForeignKey(Agent, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["source", "external_id"]
        constraints = [
            models.UniqueConstraint(
                fields=["source", "external_id"], name="source_agent_external_id_once"
            ),
            models.CheckConstraint(
                condition=~Q(external_id=""), name="source_agent_external_id_given"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.external_id} → {self.agent_id}"


class UploadChannel(models.TextChoices):
    """The receivers that belong to no source; their rejected lines are stored one by one."""

    API = "api", "REST API"
    BULK = "bulk", "Bulk upload"
    FILE = "file", "File"


class PayloadQuerySet(models.QuerySet["IntakePayload"]):
    def refused(self) -> "PayloadQuerySet":
        return self.filter(state=PayloadState.REFUSED)

    def since(self, moment: datetime) -> "PayloadQuerySet":
        """Return payloads that arrived at this moment or later."""
        return self.filter(received_at__gte=moment)

    def replayable(self) -> "PayloadQuerySet":
        """Return rejected payloads, stored in full, that don't wait for a replay yet."""
        return self.refused().filter(cut=False, replay_asked_by="")

    def to_replay(self) -> "PayloadQuerySet":
        """Those that wait for a replay, the oldest first: events of a call go in their order."""
        return self.exclude(replay_asked_by="").order_by("received_at", "pk")

    def found_by(self, words: str) -> "PayloadQuerySet":
        """Return those whose ids begin with ``words``, or whose event or reason has them."""
        return self.filter(
            Q(external_id__startswith=words)
            | Q(conversation__public_id=words)
            | Q(event__icontains=words)
            | Q(reason__icontains=words)
        )

    def for_list(self) -> "PayloadQuerySet":
        """What a line of the page shows; the bodies, which may be large, stay where they are."""
        rows = self.select_related("source", "conversation")
        return rows.defer("body", "raw", "signed_encrypted", "source__secret_encrypted")


class IntakePayload(models.Model):
    """One payload as received, stored for inspection; a rejected one with the reason.

    A body that is JSON which jsonb can hold is in ``body``; any other (broken, with NUL
    characters or lone surrogates) is in ``raw``, byte by byte, so that nothing that was rejected
    is lost. Erasing a conversation deletes its payloads; rejected payloads of it are found
    by source (or ``source_name``) and external id.

    A line that one of our own receivers rejected is a row too, without a source:
    ``upload_channel`` says which one, the other columns how it was read there, so that it can be
    replayed alike.
    """

    source = models.ForeignKey(
        IntakeSource,
        on_delete=models.PROTECT,
        related_name="payloads",
        db_index=False,
        null=True,
        blank=True,
    )
    upload_channel = models.CharField(
        max_length=10, choices=UploadChannel.choices, blank=True, db_default=""
    )
    line = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="Its number in the upload or file, from 1."
    )
    source_name = models.CharField(
        max_length=100,
        blank=True,
        db_default="",
        help_text="The `source` that a line was read for.",
    )
    default_agent = models.ForeignKey(
        Agent,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        help_text="The agent of lines that name none, where the sender chose one.",
    )
    sent_by = models.CharField(max_length=200, blank=True, db_default="")

    external_id = models.CharField(
        max_length=300, blank=True, help_text="The conversation's id there, where it could be read."
    )
    event = models.CharField(
        max_length=100, blank=True, help_text="As the platform calls it: call_analyzed, …"
    )
    body = models.JSONField(null=True, blank=True)
    raw = models.BinaryField(null=True, blank=True)
    size = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="Bytes received; fewer are stored where truncated."
    )
    cut = models.BooleanField(
        db_default=False, default=False, help_text="Only the beginning is stored, in `raw`."
    )
    signed_encrypted = models.BinaryField(
        null=True,
        blank=True,
        help_text="Signature of a rejected payload: a replay verifies it again.",
    )
    state = models.CharField(max_length=10, choices=PayloadState.choices)
    code = models.CharField(
        max_length=50,
        blank=True,
        db_default="",
        help_text="Machine-readable reason for the rejection: unknown_agent, bad_signature, …",
    )
    reason = models.TextField(blank=True, help_text="Reason for the rejection, for people.")
    note = models.TextField(blank=True, db_default="", help_text="Notes about an accepted payload.")
    conversation = models.ForeignKey(
        Conversation, on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    received_at = models.DateTimeField(db_default=Now())
    replayed_at = models.DateTimeField(null=True, blank=True)
    replayed_by = models.CharField(max_length=200, blank=True, db_default="")
    replay_asked_by = models.CharField(
        max_length=200,
        blank=True,
        db_default="",
        help_text="Who wants it replayed, while it waits for that.",
    )

    objects = PayloadQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state=PayloadState.TAKEN, reason="")
                | Q(state=PayloadState.REFUSED) & ~Q(reason=""),
                name="intake_payload_refused_with_reason",
            ),
            models.CheckConstraint(
                condition=Q(body__isnull=False, raw=None) | Q(body__isnull=True, raw__isnull=False),
                name="intake_payload_one_body",
            ),
            models.CheckConstraint(
                condition=Q(source__isnull=False, upload_channel="")
                | Q(source__isnull=True, upload_channel__in=UploadChannel.values),
                name="intake_payload_one_receiver",
            ),
            models.CheckConstraint(
                condition=Q(cut=False) | Q(raw__isnull=False), name="intake_payload_cut_is_raw"
            ),
        ]
        indexes = [
            models.Index(fields=["source", "external_id"], name="intake_payload_of"),
            # The page: all of them, one source's, and those that were refused, newest first.
            models.Index(fields=["received_at", "id"], name="intake_payload_at"),
            models.Index(fields=["source", "received_at", "id"], name="intake_payload_source_at"),
            models.Index(
                fields=["received_at", "id"],
                condition=Q(state=PayloadState.REFUSED),
                name="intake_payload_refused_at",
            ),
            models.Index(
                fields=["received_at", "id"],
                condition=~Q(replay_asked_by=""),
                name="intake_payload_to_replay",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event or 'payload'} {self.external_id}".rstrip()
