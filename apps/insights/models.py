"""Reports of insights that are sent by mail each week."""

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.http import QueryDict

from apps.agents.models import Channel
from apps.core.ids import public_id


def report_id() -> str:
    return public_id("rep")


class Weekday(models.IntegerChoices):
    MONDAY = 0, "Monday"
    TUESDAY = 1, "Tuesday"
    WEDNESDAY = 2, "Wednesday"
    THURSDAY = 3, "Thursday"
    FRIDAY = 4, "Friday"
    SATURDAY = 5, "Saturday"
    SUNDAY = 6, "Sunday"


class EmailReport(models.Model):
    """A report: of which conversations, for whom, and when.

    ``due_at`` is the next time to send it. The process that moves it on sends the report, so
    that two schedulers send it once. ``attempts`` counts those since the last success.
    """

    public_id = models.CharField(max_length=40, default=report_id, unique=True, editable=False)
    name = models.CharField(max_length=100)
    channel = models.CharField(max_length=10, choices=Channel.choices)
    filters = models.TextField(blank=True)
    weekday = models.PositiveSmallIntegerField(choices=Weekday.choices, default=Weekday.MONDAY)
    hour = models.PositiveSmallIntegerField(
        default=8, validators=[MinValueValidator(0), MaxValueValidator(23)]
    )
    recipients = models.ManyToManyField(
        settings.AUTH_USER_MODEL, related_name="email_reports", blank=True
    )
    site_url = models.CharField(max_length=300, blank=True)
    due_at = models.DateTimeField()
    attempts = models.PositiveSmallIntegerField(default=0)
    sent_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=300, blank=True)
    created_by = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("name", "pk")
        indexes = (models.Index(fields=["due_at"], name="email_report_due"),)
        constraints = (
            models.CheckConstraint(
                condition=Q(weekday__lte=6, hour__lte=23), name="email_report_has_a_time"
            ),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def params(self) -> QueryDict:
        """Return the filters as parameters."""
        return QueryDict(self.filters)

    @property
    def time(self) -> str:
        """Return when it is sent: “Mondays at 08:00”."""
        return f"{Weekday(self.weekday).label}s at {self.hour:02}:00"
