"""Incidents with their history, and the conversations behind them."""

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from apps.accounts.models import User
from apps.agents.models import Agent
from apps.conversations.models import Conversation
from apps.core.ids import public_id

from .rules import AlertRule


def incident_id() -> str:
    """Return a new public ID of an incident."""
    return public_id("inc")


class IncidentState(models.TextChoices):
    OPEN = "open", "Open"
    ACKNOWLEDGED = "acknowledged", "Acknowledged"
    RESOLVED = "resolved", "Resolved"


class Cause(models.TextChoices):
    """Why an incident opened."""

    BREACH = "breach", "Condition met"
    NO_DATA = "no_data", "No data"


class Resolution(models.TextChoices):
    """Why an incident closed."""

    RECOVERED = "recovered", "Recovered"
    NO_DATA = "no_data", "No data"
    NO_LONGER_MATCHES = "no_longer_matches", "Nothing matches any longer"
    QUIET = "quiet", "No new match"
    BY_HAND = "by_hand", "Resolved by a user"
    RULE_CHANGED = "rule_changed", "The rule was changed"
    RULE_DELETED = "rule_deleted", "The rule was deleted"


class IncidentQuerySet(models.QuerySet["Incident"]):
    def open(self) -> "IncidentQuerySet":
        """Return incidents that aren't resolved, acknowledged ones included."""
        return self.exclude(state=IncidentState.RESOLVED)


class Incident(models.Model):
    """Something is wrong: from the moment a rule fires until it closes.

    ``condition_text`` says what the rule asked for when it opened. ``value``, ``counted`` and
    ``matched`` are of the window that opened it, which ``window_start`` and ``window_end`` name;
    ``latest`` is the value since. For single results ``matched`` is the number of conversations.
    """

    public_id = models.CharField(max_length=40, unique=True, default=incident_id, editable=False)
    rule = models.ForeignKey(
        AlertRule, on_delete=models.CASCADE, related_name="incidents", db_index=False
    )
    agent = models.ForeignKey(
        Agent, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    state = models.CharField(
        max_length=12,
        choices=IncidentState.choices,
        default=IncidentState.OPEN,
        db_default="open",
    )
    cause = models.CharField(
        max_length=10, choices=Cause.choices, default=Cause.BREACH, db_default="breach"
    )
    condition_text = models.TextField()
    value = models.FloatField(null=True, blank=True)
    latest = models.FloatField(null=True, blank=True)
    counted = models.PositiveIntegerField(default=0, db_default=0)
    matched = models.PositiveIntegerField(default=0, db_default=0)
    window_start = models.DateTimeField(null=True, blank=True)
    window_end = models.DateTimeField(null=True, blank=True)

    owner = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    note = models.TextField(blank=True, db_default="")
    opened_at = models.DateTimeField()
    matched_at = models.DateTimeField(help_text="The last match, or the last bad window.")
    reminded_at = models.DateTimeField(null=True, blank=True)
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.CharField(max_length=200, blank=True, db_default="")
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolution = models.CharField(
        max_length=20, choices=Resolution.choices, blank=True, db_default=""
    )
    resolved_by = models.CharField(max_length=200, blank=True, db_default="")

    objects = IncidentQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["rule", "agent"],
                condition=~Q(state="resolved"),
                nulls_distinct=False,
                name="alert_incident_one_open",
            ),
            models.CheckConstraint(
                condition=Q(state__in=IncidentState.values), name="alert_incident_state_known"
            ),
            models.CheckConstraint(
                condition=Q(state="resolved", resolved_at__isnull=False)
                & Q(resolution__in=Resolution.values)
                | ~Q(state="resolved") & Q(resolved_at=None, resolution=""),
                name="alert_incident_resolved_whole",
            ),
        ]
        indexes = [
            models.Index(F("rule"), F("id").desc(), name="alert_incident_recent"),
            models.Index(
                fields=["state", "-id"],
                condition=~Q(state="resolved"),
                name="alert_incident_open",
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def is_open(self) -> bool:
        return self.state != IncidentState.RESOLVED


class Match(models.Model):
    """A conversation behind an incident of single results.

    ``matches`` becomes false where a later result of the conversation does not match any longer.
    """

    incident = models.ForeignKey(
        Incident, on_delete=models.CASCADE, related_name="matches", db_index=False
    )
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="+")
    at = models.DateTimeField()
    matches = models.BooleanField(default=True, db_default=True)

    class Meta:
        verbose_name_plural = "matches"
        constraints = [
            models.UniqueConstraint(fields=["incident", "conversation"], name="alert_match_once")
        ]

    def __str__(self) -> str:
        return f"{self.conversation_id} in {self.incident_id}"


class Check(models.Model):
    """A conversation with a new result that the rules of single results have yet to look at.

    It is written with the result, and deleted by the transaction that looks.
    """

    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="+")
    is_first = models.BooleanField()
    created_at = models.DateTimeField(db_default=Now())

    def __str__(self) -> str:
        return f"check of {self.conversation_id}"


class EventKind(models.TextChoices):
    """What happened to an incident."""

    OPENED = "opened", "Opened"
    MATCHED = "matched", "More matches"
    REMINDED = "reminded", "Reminder"
    ACKNOWLEDGED = "acknowledged", "Acknowledged"
    ASSIGNED = "assigned", "Assigned"
    NOTED = "noted", "Note changed"
    RESOLVED = "resolved", "Resolved"


class IncidentEvent(models.Model):
    """One line of an incident's history. ``to_notify``: no message includes it yet."""

    incident = models.ForeignKey(
        Incident, on_delete=models.CASCADE, related_name="events", db_index=False
    )
    kind = models.CharField(max_length=12, choices=EventKind.choices)
    at = models.DateTimeField()
    by = models.CharField(max_length=200, blank=True, db_default="")
    count = models.PositiveIntegerField(default=0, db_default=0)
    detail = models.CharField(max_length=200, blank=True, db_default="")
    to_notify = models.BooleanField(default=False, db_default=False)

    class Meta:
        ordering = ["pk"]
        indexes = [
            models.Index(fields=["incident", "id"], name="alert_event_order"),
            models.Index(
                fields=["incident"], condition=Q(to_notify=True), name="alert_event_to_notify"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.incident_id}"
