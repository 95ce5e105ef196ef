"""Alerts and what they found; conversations that somebody has to follow up (product 6.4, 6.5)."""

from datetime import timedelta

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from apps.accounts.models import User
from apps.agents.models import Agent
from apps.conversations.models import Conversation
from apps.core.ids import public_id


def alert_id() -> str:
    """A fresh public id of an alert rule."""
    return public_id("alr")


class AlertKind(models.TextChoices):
    """What a rule looks at: each analysis by itself, or a rate over a window of time."""

    PER_ANALYSIS = "per_analysis", "Each analysis"
    RATE = "rate", "A rate over a window"


class AlertRule(models.Model):
    """When somebody is to be told, such as ``overall_score < 70`` (product 6.5).

    A rule that has found anything is switched off, not deleted: its incidents are history.
    """

    public_id = models.CharField(max_length=40, unique=True, default=alert_id, editable=False)
    name = models.CharField(max_length=200)
    agent = models.ForeignKey(
        Agent,
        on_delete=models.PROTECT,  # set to null it would watch every other agent
        null=True,
        blank=True,
        related_name="+",
        help_text="Empty: all agents.",
    )
    kind = models.CharField(max_length=15, choices=AlertKind.choices)
    condition = models.JSONField(help_text="Comparisons of fields, joined by AND and OR.")
    window = models.DurationField(null=True, blank=True, help_text="Of a rate: the time it is of.")
    emails = ArrayField(
        models.EmailField(), default=list, blank=True, help_text="Who is told, beside webhooks."
    )
    enabled = models.BooleanField(default=True)
    created_by = models.CharField(max_length=200)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["name", "pk"]
        constraints = [
            models.CheckConstraint(condition=~Q(name=""), name="alert_rule_name_given"),
            models.CheckConstraint(
                condition=Q(kind=AlertKind.PER_ANALYSIS, window=None)
                | Q(kind=AlertKind.RATE, window__isnull=False, window__gt=timedelta(0)),
                name="alert_rule_rate_has_window",
            ),
            models.CheckConstraint(
                condition=~Q(condition={}) & ~Q(condition=[]), name="alert_rule_condition_given"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Incident(models.Model):
    """A rule's condition came true, until it is no longer; kept as history.

    Its subject is what the rule found it in: one conversation, one agent, or, with both empty,
    everything that the rule covers. There is one open incident per rule and subject, so that
    somebody is told once.
    """

    rule = models.ForeignKey(AlertRule, on_delete=models.PROTECT, related_name="incidents")
    agent = models.ForeignKey(
        Agent, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    conversation = models.ForeignKey(
        Conversation, on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    detail = models.JSONField(default=dict, help_text="The figures that it was opened for.")
    opened_at = models.DateTimeField(db_default=Now())
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_by = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["rule", "agent", "conversation"],
                condition=Q(closed_at=None),
                nulls_distinct=False,
                name="incident_one_open",
            ),
            models.CheckConstraint(
                condition=Q(agent=None) | Q(conversation=None), name="incident_one_subject"
            ),
            models.CheckConstraint(
                condition=Q(closed_at=None, closed_by="")
                | Q(closed_at__isnull=False, closed_at__gte=F("opened_at")) & ~Q(closed_by=""),
                name="incident_closed_after_opened_by_whom",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.rule_id} since {self.opened_at:%Y-%m-%d %H:%M}"


class FollowUp(models.Model):
    """Somebody has to come back to this conversation; one at a time (product 6.4).

    The owner is a person and not a label, because people look for their own.
    """

    conversation = models.ForeignKey(
        Conversation, on_delete=models.CASCADE, related_name="follow_ups"
    )
    owner = models.ForeignKey(
        User, on_delete=models.PROTECT, null=True, blank=True, related_name="follow_ups"
    )
    note = models.TextField(blank=True)
    created_by = models.CharField(max_length=200)
    created_at = models.DateTimeField(db_default=Now())
    done_at = models.DateTimeField(null=True, blank=True)
    done_by = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["conversation"], condition=Q(done_at=None), name="follow_up_one_open"
            ),
            models.CheckConstraint(
                condition=Q(done_at=None, done_by="") | Q(done_at__isnull=False) & ~Q(done_by=""),
                name="follow_up_done_by_whom",
            ),
        ]

    def __str__(self) -> str:
        return f"follow-up of {self.conversation_id}"
