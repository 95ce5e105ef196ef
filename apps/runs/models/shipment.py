"""A shipment: items of an economy backfill in one batch of the provider."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from apps.core.ids import public_id
from apps.llm.models import LanguageModel


def shipment_id() -> str:
    """Return a new public ID of a shipment."""
    return public_id("sh")


class ShipmentState(models.TextChoices):
    """The steps of a shipment, in this order."""

    PREPARED = "prepared", "Preparing"
    UPLOADED = "uploaded", "Uploaded"
    SENT = "sent", "At the provider"
    RECORDING = "recording", "Recording"
    CLEARING = "clearing", "Deleting files"
    CLOSED = "closed", "Ended"


AT_PROVIDER = (ShipmentState.UPLOADED, ShipmentState.SENT)
"""States in which the provider may still process requests."""


class ShipmentQuerySet(models.QuerySet["Shipment"]):
    def open(self) -> "ShipmentQuerySet":
        return self.exclude(state="closed")

    def due(self) -> "ShipmentQuerySet":
        """Return the shipments that have something to do and no worker."""
        now = timezone.now()
        free = Q(lease_until=None) | Q(lease_until__lt=now)
        return self.open().filter(free, next_at__lte=now)


class Shipment(models.Model):
    """One batch of the provider, from the choice of its items to the deletion of its files.

    Its items are leased to it (`RunItem.shipment`) until their lines are recorded, or the batch
    has ended without them. ``tokens`` is the estimated input of its requests, ``queue_tokens``
    that of all open batches of the model when it was sent.
    """

    public_id = models.CharField(max_length=40, unique=True, default=shipment_id, editable=False)
    run = models.ForeignKey("runs.Run", on_delete=models.CASCADE, related_name="shipments")
    model = models.ForeignKey(LanguageModel, on_delete=models.PROTECT, related_name="+")
    state = models.CharField(
        max_length=10, choices=ShipmentState.choices, default=ShipmentState.PREPARED
    )
    status = models.CharField(
        max_length=20, blank=True, help_text="Of the batch, as the provider names it."
    )
    requests = models.PositiveIntegerField(default=0)
    tokens = models.PositiveBigIntegerField(default=0)
    queue_tokens = models.PositiveBigIntegerField(default=0)
    input_file = models.CharField(max_length=200, blank=True)
    batch_id = models.CharField(max_length=200, blank=True)
    output_file = models.CharField(max_length=200, blank=True)
    error_file = models.CharField(max_length=200, blank=True)
    answered = models.PositiveIntegerField(
        default=0, help_text="Responses so far, as the provider reports them."
    )
    recorded = models.PositiveIntegerField(default=0, help_text="Items that are done with it.")
    returned = models.PositiveIntegerField(default=0, help_text="Items that were queued again.")
    is_canceling = models.BooleanField(
        default=False, help_text="The provider was asked to end the batch."
    )
    error_code = models.CharField(max_length=40, blank=True)
    error_message = models.TextField(blank=True)
    faults = models.PositiveIntegerField(
        default=0, help_text="How often its last step failed in a row."
    )
    next_at = models.DateTimeField(default=timezone.now, help_text="The time of its next step.")
    lease_token = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    sent_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = ShipmentQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=ShipmentState.values), name="shipment_state_known"
            ),
            models.CheckConstraint(
                condition=~Q(state="sent") | ~Q(batch_id=""), name="shipment_sent_has_batch"
            ),
        ]
        indexes = [
            models.Index(fields=["next_at"], condition=~Q(state="closed"), name="shipment_open"),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def seconds(self) -> float:
        """Return how long the provider has had the batch, or took for it; 0 before it is sent."""
        end = self.ended_at or timezone.now()
        return (end - self.sent_at).total_seconds() if self.sent_at else 0.0

    @property
    def shown_state(self) -> str:
        """Return its state for people, with the provider's own word where that says more."""
        if self.state == ShipmentState.SENT:
            return _STATUSES.get(self.status, self.status or "Sent")
        if self.state in {ShipmentState.CLEARING, ShipmentState.CLOSED}:
            return _STATUSES.get(self.status, "Ended")
        return str(self.get_state_display())


_STATUSES = {
    "validating": "Validating",
    "in_progress": "In progress",
    "finalizing": "Finalizing",
    "completed": "Completed",
    "failed": "Failed",
    "expired": "Expired",
    "cancelling": "Canceling",
    "cancelled": "Canceled",
}
