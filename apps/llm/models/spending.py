"""The ledger of requests, its sums by day, agent, and run, and the caps of what may be spent."""

from __future__ import annotations

from datetime import datetime

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from apps.llm.specs import TIER_LENGTH

from .language_models import LanguageModel, price_field


class Purpose(models.TextChoices):
    """What a paid request was for."""

    ANALYSIS = "analysis", "Analysis"
    TRY_IT = "try_it", "Test"
    ACCUMULATE = "accumulate", "Accumulate and summarize"


class UsageQuerySet(models.QuerySet["Usage"]):
    def between(self, start: datetime, end: datetime) -> UsageQuerySet:
        """Return the requests from ``start`` on, before ``end``."""
        return self.filter(at__gte=start, at__lt=end)

    def analyses(self) -> UsageQuerySet:
        """Return requests of analyses, failed ones too: all that was paid counts."""
        return self.filter(purpose="analysis")


class Usage(models.Model):
    """The ledger: one row for every request, or ladder of requests, paid for.

    It is written once and never changed. The ids are public ids as plain text: the ledger is
    below all other apps and outlives all that it names. It takes hundreds of rows a second, so
    its only index next to the key is a BRIN over time, which is almost free to keep.
    """

    at = models.DateTimeField(default=timezone.now)
    purpose = models.CharField(max_length=20, choices=Purpose)
    model = models.ForeignKey(
        LanguageModel, null=True, blank=True, on_delete=models.SET_NULL, db_index=False,
        related_name="+",
    )  # fmt: skip
    model_name = models.CharField(max_length=200)
    trigger = models.CharField(max_length=20, blank=True)
    who = models.CharField(max_length=200, blank=True)
    agent_id = models.CharField(max_length=40, blank=True)
    conversation_id = models.CharField(max_length=40, blank=True)
    analysis_id = models.CharField(max_length=40, blank=True)
    backfill_id = models.CharField(max_length=40, blank=True)
    tier = models.CharField(
        max_length=TIER_LENGTH, blank=True, help_text="Service tier that the provider reported."
    )
    requests = models.PositiveSmallIntegerField(default=1)
    input_tokens = models.PositiveIntegerField(default=0)
    cached_tokens = models.PositiveIntegerField(default=0)
    output_tokens = models.PositiveIntegerField(default=0)
    estimated = models.BooleanField(
        default=False, db_default=False, help_text="The provider did not report all of the tokens."
    )
    input_price = price_field("Per million tokens, at that time.")
    cached_price = price_field("Per million tokens, at that time.")
    output_price = price_field("Per million tokens, at that time.")
    cost = models.DecimalField(
        max_digits=18, decimal_places=9, null=True, blank=True, help_text="Empty: price unknown."
    )

    objects = UsageQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        verbose_name_plural = "usage"
        indexes = (BrinIndex("at", name="llm_usage_at_brin", pages_per_range=32),)
        constraints = (
            models.CheckConstraint(
                condition=Q(purpose__in=Purpose.values), name="llm_usage_purpose_known"
            ),
            models.CheckConstraint(
                condition=Q(cached_tokens__lte=F("input_tokens")),
                name="llm_usage_cached_within_input",
            ),
            models.CheckConstraint(
                condition=Q(cost__isnull=True) | Q(cost__gte=0), name="llm_usage_cost_not_negative"
            ),
        )

    def __str__(self) -> str:
        return f"{self.model_name}: {self.input_tokens} + {self.output_tokens} tokens"


class Spending(models.Model):
    """Sum the ledger by day, agent, run, and service tier, as it is written.

    Budgets and caps read it before each claim, where the ledger itself would take too long. It is
    written only by `apps.llm.ledger`, in the transaction that writes the ledger.
    """

    day = models.DateField(help_text="Of TIME_ZONE.")
    agent_id = models.CharField(max_length=40, help_text="Public ID. Empty: no agent.")
    run_id = models.CharField(max_length=40, help_text="Public ID. Empty: not part of a run.")
    tier = models.CharField(
        max_length=TIER_LENGTH, help_text="The service tier at whose price. Empty: standard."
    )
    responses = models.PositiveIntegerField(help_text="Rows of the ledger that were paid for.")
    cost = models.DecimalField(max_digits=18, decimal_places=9)

    class Meta:
        ordering = ("day", "agent_id", "run_id", "tier")
        constraints = (
            models.UniqueConstraint(
                fields=("day", "agent_id", "run_id", "tier"), name="llm_spending_once"
            ),
            models.CheckConstraint(condition=Q(cost__gte=0), name="llm_spending_not_negative"),
        )
        indexes = (
            models.Index(fields=("run_id",), condition=~Q(run_id=""), name="llm_spending_run"),
        )

    def __str__(self) -> str:
        return f"{self.day} {self.agent_id or '–'} {self.run_id or '–'}: {self.cost}"


class SpendingCap(models.Model):
    """How much may be spent per day and per month, for all work or for the work of one agent."""

    agent_id = models.CharField(
        max_length=40, unique=True, blank=True, help_text="Public ID. Empty: the installation."
    )
    day = models.DecimalField(max_digits=12, decimal_places=4, null=True, blank=True)
    month = models.DecimalField(max_digits=12, decimal_places=4, null=True, blank=True)
    site_url = models.CharField(
        max_length=300, blank=True, db_default="", help_text="Address that messages link to."
    )

    class Meta:
        ordering = ("agent_id",)
        constraints = (
            models.CheckConstraint(
                condition=Q(day__isnull=False) | Q(month__isnull=False), name="llm_cap_limits"
            ),
            models.CheckConstraint(
                condition=(Q(day__isnull=True) | Q(day__gt=0))
                & (Q(month__isnull=True) | Q(month__gt=0)),
                name="llm_cap_positive",
            ),
        )

    def __str__(self) -> str:
        return f"{self.agent_id or 'installation'}: {self.day} per day, {self.month} per month"
