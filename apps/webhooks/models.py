"""Results on their way to other programs: endpoints, the outbox, and deliveries.

An event is written in the transaction of the change that it reports, with a delivery for every
endpoint that subscribes to it. Nothing is lost while an endpoint, a worker, or the broker is down.
"""

from django.contrib.postgres.fields import ArrayField
from django.core.validators import URLValidator
from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Now

from apps.agents.models import Agent
from apps.conversations.models import Conversation
from apps.core.guarded_client import KEPT_CHARACTERS
from apps.core.ids import public_id


def endpoint_id() -> str:
    """Return a new public ID of an endpoint."""
    return public_id("wh")


def event_id() -> str:
    """Return a new public ID of an event: the ``webhook-id`` of all its deliveries."""
    return public_id("msg")


class EventType(models.TextChoices):
    """What an endpoint may ask for (docs/interfaces.md, *Events*)."""

    CONVERSATION_ANALYZED = "conversation.analyzed", "Conversation analyzed"
    CONVERSATION_ANALYSIS_FAILED = "conversation.analysis_failed", "Analysis failed"
    CONVERSATION_ENDED = "conversation.ended", "Conversation ended"
    BACKFILL_COMPLETED = "backfill.completed", "Backfill completed"
    ALERT_TRIGGERED = "alert.triggered", "Alert triggered"
    ALERT_RESOLVED = "alert.resolved", "Alert resolved"
    FOLLOW_UP_ADDED = "follow_up.added", "Follow-up added"
    BUDGET_WARNING = "budget.warning", "Spending cap at 80%"
    BUDGET_REACHED = "budget.reached", "Spending cap reached"


class DeliveryState(models.TextChoices):
    PENDING = "pending", "Queued"
    DELIVERED = "delivered", "Delivered"
    FAILED = "failed", "Failed"
    DROPPED = "dropped", "Dropped"


class DisabledCause(models.TextChoices):
    """Who or what switched an endpoint off."""

    PERSON = "person", "Disabled by a user"
    FAILING = "failing", "Failed for a day"
    GONE = "gone", "Returned 410 Gone"


class EndpointQuerySet(models.QuerySet["Endpoint"]):
    def given_up(self) -> "EndpointQuerySet":
        """Return endpoints that were disabled because they failed."""
        return self.filter(disabled_cause__in=[DisabledCause.FAILING, DisabledCause.GONE])


class Endpoint(models.Model):
    """An address of another program, and the events that are sent to it.

    ``secret_encrypted`` is the signing secret, which has to be read again to sign (a hash would
    not do); it is ciphertext of `apps.core.cipher`. The one before it signs as well until
    ``old_secret_until``, so that a receiver can change over without losing anything.

    ``failing_since`` is the first failure after the last success, and ``rest_until`` how long
    nothing is sent because of it: an endpoint that is down is probed, not flooded.
    """

    public_id = models.CharField(max_length=40, unique=True, default=endpoint_id, editable=False)
    url = models.CharField(max_length=2000, validators=[URLValidator(schemes=["http", "https"])])
    secret_encrypted = models.BinaryField()
    old_secret_encrypted = models.BinaryField(null=True, blank=True)
    old_secret_until = models.DateTimeField(null=True, blank=True)
    events = ArrayField(models.CharField(max_length=40, choices=EventType.choices))
    agent = models.ForeignKey(
        Agent,
        on_delete=models.PROTECT,  # set to null it would be told of every other agent
        null=True,
        blank=True,
        related_name="+",
        help_text="Only what concerns this agent. Empty: all agents.",
    )
    consecutive_failures = models.PositiveIntegerField(
        default=0, help_text="Back to 0 with each success; above a limit it is disabled."
    )
    failing_since = models.DateTimeField(null=True, blank=True)
    rest_until = models.DateTimeField(null=True, blank=True)
    disabled_at = models.DateTimeField(null=True, blank=True)
    disabled_cause = models.CharField(
        max_length=10, blank=True, choices=DisabledCause.choices, db_default=""
    )
    disabled_reason = models.TextField(blank=True, help_text="A message for its owner.")
    created_by = models.CharField(max_length=200)
    created_at = models.DateTimeField(db_default=Now())

    objects = EndpointQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(url__regex=r"^https?://[^[:space:]/]"), name="endpoint_url_http"
            ),
            models.CheckConstraint(
                condition=~Q(secret_encrypted=b""), name="endpoint_secret_given"
            ),
            models.CheckConstraint(
                condition=Q(events__contained_by=EventType.values, events__len__gt=0),
                name="endpoint_events_known",
            ),
            models.CheckConstraint(
                condition=Q(disabled_at=None, disabled_reason="")
                | Q(disabled_at__isnull=False) & ~Q(disabled_reason=""),
                name="endpoint_disabled_with_reason",
            ),
            models.CheckConstraint(
                condition=Q(disabled_cause="")
                | Q(disabled_cause__in=DisabledCause.values, disabled_at__isnull=False),
                name="endpoint_disabled_cause_known",
            ),
            models.CheckConstraint(
                condition=Q(old_secret_encrypted=None, old_secret_until=None)
                | Q(old_secret_encrypted__isnull=False, old_secret_until__isnull=False),
                name="endpoint_old_secret_ends",
            ),
        ]

    def __str__(self) -> str:
        return self.url

    @property
    def is_enabled(self) -> bool:
        return self.disabled_at is None

    @property
    def is_given_up(self) -> bool:
        """Return whether it was disabled because it failed, and not by a user."""
        return self.disabled_cause in {DisabledCause.FAILING, DisabledCause.GONE}


class Event(models.Model):
    """One event as it is sent: a row of the outbox.

    Events of one conversation are in the order of their ids: each is written under the lock of
    the conversation's row. Across conversations ids say nothing, they are not in commit order.
    Erasing a conversation takes its events along. ``payload`` is the body as it
    is sent, byte for byte: JSON as text, because jsonb loses the order of keys.
    """

    public_id = models.CharField(max_length=40, default=event_id, editable=False)
    type = models.CharField(max_length=40, choices=EventType.choices)
    conversation = models.ForeignKey(
        Conversation,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
        help_text="Empty for events without a conversation, such as a backfill.",
    )
    payload = models.TextField()
    is_test = models.BooleanField(default=False, db_default=False)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(fields=["public_id"], name="event_public_id_once"),
            models.CheckConstraint(condition=Q(type__in=EventType.values), name="event_type_known"),
            models.CheckConstraint(
                condition=Q(payload__startswith="{"), name="event_payload_object"
            ),
        ]
        indexes = [
            models.Index(
                fields=["conversation", "id"],
                condition=Q(conversation__isnull=False),
                name="event_conversation_order",
            )
        ]

    def __str__(self) -> str:
        return self.public_id


class Delivery(models.Model):
    """One event on its way to one endpoint, and the last try of it.

    A pending row *is* the queue, as with an analysis: a worker claims it with a lease and a
    token, and records only while it still holds that token. It is claimed only when no earlier
    event of its conversation is pending for the endpoint. *Failed*: tried for a day. *Dropped*:
    not tried to the end, because the endpoint was disabled. *Send again* makes it pending.

    ``conversation_key`` is the event's conversation, repeated here for the order alone: the
    event's own foreign key is the one that erasing goes by.
    """

    endpoint = models.ForeignKey(
        Endpoint, on_delete=models.CASCADE, related_name="deliveries", db_index=False
    )
    event = models.ForeignKey(
        Event, on_delete=models.CASCADE, related_name="deliveries", db_index=False
    )
    state = models.CharField(
        max_length=10, choices=DeliveryState.choices, default=DeliveryState.PENDING
    )
    conversation_key = models.BigIntegerField(null=True, blank=True, editable=False)
    not_before = models.DateTimeField(db_default=Now(), help_text="The next try.")
    attempts = models.PositiveIntegerField(default=0)
    tries = models.JSONField(
        default=list,
        db_default=Value("[]", models.JSONField()),
        help_text="Each try: when, status or error, milliseconds; the last ones.",
    )
    lease_token = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)

    last_status = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        help_text="HTTP status of the last attempt; empty where no response arrived.",
    )
    last_error = models.TextField(blank=True, help_text="Reason why no response arrived.")
    request = models.CharField(
        max_length=KEPT_CHARACTERS,
        blank=True,
        help_text="Headers and body of the last attempt, truncated.",
    )
    response = models.CharField(
        max_length=KEPT_CHARACTERS,
        blank=True,
        help_text="Headers and body of the response, truncated.",
    )
    duration_ms = models.PositiveIntegerField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    first_attempt_at = models.DateTimeField(
        null=True, blank=True, help_text="The day of retries counts from here."
    )
    last_attempt_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-pk"]
        verbose_name_plural = "deliveries"
        constraints = [
            # Event first: it also finds the deliveries of an event, for order and erasing.
            models.UniqueConstraint(fields=["event", "endpoint"], name="delivery_event_once"),
            models.CheckConstraint(
                condition=Q(state__in=DeliveryState.values), name="delivery_state_known"
            ),
            models.CheckConstraint(
                condition=Q(lease_token=None, lease_until=None)
                | Q(lease_token__isnull=False, lease_until__isnull=False, state="pending"),
                name="delivery_lease_whole_and_open",
            ),
            models.CheckConstraint(
                condition=Q(state="pending", finished_at=None)
                | ~Q(state="pending") & Q(finished_at__isnull=False),
                name="delivery_final_has_end",
            ),
        ]
        indexes = [
            models.Index(F("endpoint"), F("id").desc(), name="delivery_endpoint_recent"),
            models.Index(
                fields=["endpoint", "-last_attempt_at"],
                condition=Q(last_attempt_at__isnull=False),
                name="delivery_tried",
            ),
            models.Index(
                fields=["endpoint", "last_attempt_at"],
                condition=~Q(last_error=""),
                name="delivery_unwell",
            ),
            models.Index(
                fields=["endpoint", "not_before", "id"],
                condition=Q(state="pending"),
                name="delivery_due",
            ),
            models.Index(
                fields=["endpoint", "conversation_key", "id"],
                condition=Q(state="pending", conversation_key__isnull=False),
                name="delivery_order",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event_id} to {self.endpoint_id}"
