"""Messages about incidents and about spending caps: the outbox."""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from apps.core.ids import public_id

from .rules import AlertRule, ChannelKind, NotificationChannel


def message_id() -> str:
    """Return a new public ID of a message: the same in each attempt."""
    return public_id("note")


class MessageKind(models.TextChoices):
    EMAIL = "email", "Email"
    SLACK = "slack", "Slack"
    TEAMS = "teams", "Microsoft Teams"


class MessageState(models.TextChoices):
    PENDING = "pending", "Queued"
    SENT = "sent", "Sent"
    FAILED = "failed", "Failed"


class Message(models.Model):
    """A mail to one person, or a post to one channel: the outbox.

    A pending row is the queue, leased as a webhook's delivery is. Texts name rules, numbers and
    links, and never the content of a conversation.
    """

    public_id = models.CharField(max_length=40, unique=True, default=message_id, editable=False)
    rule = models.ForeignKey(
        AlertRule,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="messages",
        db_index=False,
        help_text="Empty: about a spending cap.",
    )
    kind = models.CharField(max_length=10, choices=MessageKind.choices)
    address = models.EmailField(blank=True, db_default="")
    channel = models.ForeignKey(
        NotificationChannel, on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    subject = models.CharField(max_length=300)
    body = models.TextField()
    state = models.CharField(
        max_length=10, choices=MessageState.choices, default=MessageState.PENDING
    )
    not_before = models.DateTimeField(db_default=Now())
    attempts = models.PositiveIntegerField(default=0, db_default=0)
    lease_token = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    last_error = models.TextField(blank=True, db_default="")
    created_at = models.DateTimeField(db_default=Now())
    first_attempt_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=MessageState.values), name="alert_message_state_known"
            ),
            models.CheckConstraint(
                condition=Q(kind="email", channel=None) & ~Q(address="")
                | Q(kind__in=ChannelKind.values, channel__isnull=False, address=""),
                name="alert_message_addressed",
            ),
            models.CheckConstraint(
                condition=Q(lease_token=None, lease_until=None)
                | Q(lease_token__isnull=False, lease_until__isnull=False, state="pending"),
                name="alert_message_lease_whole",
            ),
            models.CheckConstraint(
                condition=Q(state="pending", finished_at=None)
                | ~Q(state="pending") & Q(finished_at__isnull=False),
                name="alert_message_final_has_end",
            ),
        ]
        indexes = [
            models.Index(
                fields=["not_before", "id"], condition=Q(state="pending"), name="alert_message_due"
            ),
            models.Index(F("rule"), F("id").desc(), name="alert_message_recent"),
        ]

    def __str__(self) -> str:
        return self.public_id


class CapNotice(models.Model):
    """A spending cap that was announced in a period: once at 80%, once where it is reached.

    The row is written in the transaction of its event and its mails. A changed limit is another
    cap, which is announced anew.
    """

    agent_id = models.CharField(
        max_length=40, blank=True, help_text="Public ID. Empty: the installation."
    )
    period = models.CharField(max_length=10)
    first_day = models.DateField(help_text="Of the period, in TIME_ZONE.")
    limit = models.DecimalField(max_digits=12, decimal_places=4)
    level = models.PositiveSmallIntegerField(help_text="In percent: 80, or 100 where reached.")
    spent = models.DecimalField(max_digits=18, decimal_places=9)
    mails = models.PositiveIntegerField(default=0, help_text="Admins who were mailed.")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["agent_id", "period", "first_day", "limit", "level"],
                name="cap_notice_once",
            ),
            models.CheckConstraint(condition=Q(level__in=[80, 100]), name="cap_notice_level_known"),
        ]

    def __str__(self) -> str:
        return f"{self.agent_id or 'installation'}: {self.level}% of {self.limit}"
