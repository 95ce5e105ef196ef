"""Models of servers that speak the OpenAI protocol, and their prices."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from types import MappingProxyType

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q, Value
from django.utils import timezone

from apps.llm.specs import ModelSpec, PlannedPrices, Prices, StructuredMode
from apps.llm.validators import (
    KEY_ENV_PATTERN,
    validate_base_url,
    validate_key_env,
    validate_parameters,
)


def price_field(help_text: str) -> models.DecimalField[Decimal | None, Decimal | None]:
    """Return a column of US dollars per million tokens; null: unknown."""
    return models.DecimalField(
        max_digits=12,
        decimal_places=6,
        null=True,
        blank=True,
        validators=[MinValueValidator(0, "The price must be 0 or more, not %(show_value)s.")],
        help_text=help_text,
    )


def _factor_constraint(kind: str, what: str) -> models.CheckConstraint:
    """Allow a price factor from 0 to 1, and only with prices; ``what`` a bundled model lacks."""
    name = f"{kind}_factor"
    wanted = {f"{name}__gt": 0, f"{name}__lte": 1, "input_price__isnull": False}
    return models.CheckConstraint(
        condition=Q(**{f"{name}__isnull": True}) | Q(**wanted) & Q(is_local=False),
        name=f"llm_model_{name}_of_a_price",
        violation_error_message=f"The {kind} price factor must be above 0 and at most 1, and "
        f"needs the model's prices. The bundled model has no {what}.",
    )


class LanguageModel(models.Model):
    """One model of one server that speaks the OpenAI protocol."""

    name = models.CharField(
        max_length=200, unique=True, help_text="As the server calls it, for example gpt-4.1-mini."
    )
    base_url = models.CharField(
        "base URL",
        max_length=500,
        blank=True,
        validators=[validate_base_url],
        help_text="Empty: OPENAI_BASE_URL where it is set, else the provider's own address.",
    )
    api_key_env = models.CharField(
        "key variable",
        max_length=100,
        blank=True,
        validators=[validate_key_env],
        help_text="Name of the environment variable that holds the key. Empty: OPENAI_API_KEY for "
        "the address above left empty, no key for an address of its own.",
    )
    input_price = price_field("US dollars per million input tokens. Empty: unknown.")
    cached_price = price_field(
        "US dollars per million input tokens read from the provider's cache. "
        "Empty: the price of input."
    )
    output_price = price_field("US dollars per million output tokens. Empty: unknown.")
    planned_prices = models.JSONField(
        default=list,
        blank=True,
        db_default=Value([], output_field=models.JSONField()),
        help_text="Later prices: a list of objects with valid_from, input, cached, and output, the "
        "earliest first.",
    )
    flex_factor = models.DecimalField(
        "flex price factor",
        max_digits=4,
        decimal_places=3,
        null=True,
        blank=True,
        help_text="Price of the provider's flex service tier as a share of these prices, for "
        "example 0.5 for half. Empty: flex isn't offered for backfills.",
    )
    batch_factor = models.DecimalField(
        "batch price factor",
        max_digits=4,
        decimal_places=3,
        null=True,
        blank=True,
        help_text="Price of the provider's Batch API as a share of these prices, for example 0.5 "
        "for half. Empty: the economy lane isn't offered for backfills.",
    )
    has_flex = models.BooleanField(
        "flex tier",
        null=True,
        editable=False,
        help_text="Whether the provider has one, as last seen. Empty: unknown.",
    )
    has_batches = models.BooleanField(
        "Batch API",
        null=True,
        editable=False,
        help_text="Whether the provider has one, as last seen. Empty: unknown.",
    )
    batch_queue_tokens = models.PositiveBigIntegerField(
        "batch queue limit",
        null=True,
        blank=True,
        help_text="Input tokens that may wait in the provider's batch queue at a time, as your "
        "usage tier allows. Blank means no limit.",
    )
    free_first_run = models.BooleanField(
        default=False,
        help_text="A conversation's first analysis costs nothing. Reruns and backfills always do.",
    )
    context_tokens = models.PositiveIntegerField(
        default=128_000, help_text="Context window in tokens, including the response."
    )
    max_output_tokens = models.PositiveIntegerField(
        default=4_096,
        help_text="Maximum length of a response in tokens. Providers count it against tokens "
        "per minute.",
    )
    structured_output = models.CharField(
        max_length=10,
        choices=StructuredMode,
        default=StructuredMode.AUTO,
        help_text="Which structured-output mode to try first. If the server rejects it, Debrief "
        "falls back to the next one.",
    )
    parameters = models.JSONField(
        default=dict,
        blank=True,
        validators=[validate_parameters],
        help_text="Sent with each request, for example {“temperature”: 0}.",
    )
    max_concurrency = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="Concurrent requests per worker process. Blank means no limit.",
    )
    requests_per_minute = models.PositiveIntegerField(
        null=True, blank=True, help_text="Across all workers. Blank means no limit."
    )
    tokens_per_minute = models.PositiveIntegerField(
        null=True, blank=True, help_text="Across all workers. Blank means no limit."
    )
    token_correction = models.FloatField(
        default=1.0, help_text="Actual over estimated tokens; corrected by real usage."
    )
    is_local = models.BooleanField(
        default=False, help_text="The model bundled with Debrief. Free to run."
    )
    enabled = models.BooleanField(default=True, help_text="Show in model pickers.")

    class Meta:
        ordering = ("name",)
        constraints = (
            models.CheckConstraint(
                condition=~Q(name=""),
                name="llm_model_name_not_empty",
                violation_error_message="The name is required.",
            ),
            models.CheckConstraint(
                condition=Q(api_key_env="") | Q(api_key_env__regex=KEY_ENV_PATTERN),
                name="llm_model_key_env_ends_in_api_key",
                violation_error_message="The key variable must be a name that ends in _API_KEY.",
            ),
            models.CheckConstraint(
                condition=(Q(input_price__isnull=True) | Q(input_price__gte=0))
                & (Q(cached_price__isnull=True) | Q(cached_price__gte=0))
                & (Q(output_price__isnull=True) | Q(output_price__gte=0)),
                name="llm_model_prices_not_negative",
                violation_error_message="A price must be 0 or more.",
            ),
            models.CheckConstraint(
                condition=Q(input_price__isnull=True, cached_price__isnull=True)
                & Q(output_price__isnull=True)
                | Q(input_price__isnull=False, output_price__isnull=False),
                name="llm_model_prices_known_together",
                violation_error_message="Set both input and output prices, or leave both blank.",
            ),
            _factor_constraint("flex", "flex"),
            _factor_constraint("batch", "Batch API"),
            models.CheckConstraint(
                condition=Q(max_output_tokens__gte=1)
                & Q(context_tokens__gt=F("max_output_tokens")),
                name="llm_model_answer_fits_context",
                violation_error_message="The maximum response length must be at least 1 token and "
                "smaller than the context.",
            ),
            models.CheckConstraint(
                condition=Q(structured_output__in=StructuredMode.values),
                name="llm_model_structured_output_known",
                violation_error_message="Choose one of the ways of structured output.",
            ),
            models.CheckConstraint(
                condition=(Q(max_concurrency__isnull=True) | Q(max_concurrency__gte=1))
                & (Q(requests_per_minute__isnull=True) | Q(requests_per_minute__gte=1))
                & (Q(tokens_per_minute__isnull=True) | Q(tokens_per_minute__gte=1))
                & (Q(batch_queue_tokens__isnull=True) | Q(batch_queue_tokens__gte=1)),
                name="llm_model_limits_at_least_one",
                violation_error_message="A limit is at least 1; leave it empty for no limit.",
            ),
            models.CheckConstraint(
                condition=Q(token_correction__gt=0, token_correction__lte=100),
                name="llm_model_token_correction_positive",
                violation_error_message="The token correction must be above 0 and at most 100.",
            ),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def prices(self) -> Prices:
        """Return the current prices."""
        return self.spec().prices_at(timezone.now())

    @property
    def planned(self) -> tuple[PlannedPrices, ...]:
        """Return the later prices, also those that apply by now, the earliest first."""
        return tuple(
            PlannedPrices(
                datetime.fromisoformat(one["valid_from"]),
                Prices(*(_decimal(one[name]) for name in ("input", "cached", "output"))),
            )
            for one in self.planned_prices
        )

    def plan_prices(self, valid_from: datetime, prices: Prices) -> None:
        """Let prices apply from a time on, instead of others from the same time. Doesn't save."""
        kept = [one for one in self.planned_prices if one["valid_from"] != valid_from.isoformat()]
        columns = zip(("input", "cached", "output"), _texts(prices), strict=True)
        kept.append({"valid_from": valid_from.isoformat(), **dict(columns)})
        self.planned_prices = sorted(
            kept, key=lambda one: datetime.fromisoformat(one["valid_from"])
        )

    def settle_prices(self, now: datetime) -> None:
        """Move prices that apply by now to the columns, and keep later ones. Doesn't save."""
        prices = self.spec().prices_at(now)
        later = [one.valid_from > now for one in self.planned]
        self.planned_prices = [
            one for one, is_later in zip(self.planned_prices, later, strict=True) if is_later
        ]
        self.input_price, self.cached_price = prices.input, prices.cached
        self.output_price = prices.output

    @property
    def price_known(self) -> bool:
        """Return whether a cost can be named at all; where not, pages say *price unknown*."""
        return self.prices.known

    def spec(self) -> ModelSpec:
        """Return a snapshot for the client, safe to keep for the length of a run."""
        return ModelSpec(
            name=self.name,
            id=self.pk,
            base_url=self.base_url,
            api_key_env=self.api_key_env,
            structured_output=str(self.structured_output),
            parameters=MappingProxyType(dict(self.parameters)),
            context_tokens=self.context_tokens,
            max_output_tokens=self.max_output_tokens,
            max_concurrency=self.max_concurrency,
            requests_per_minute=self.requests_per_minute,
            tokens_per_minute=self.tokens_per_minute,
            token_correction=self.token_correction,
            is_local=self.is_local,
            free_first_run=self.free_first_run,
            prices=Prices(self.input_price, self.cached_price, self.output_price),
            planned=self.planned,
            flex_factor=self.flex_factor,
            batch_factor=self.batch_factor,
        )


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _texts(prices: Prices) -> list[str | None]:
    amounts = (prices.input, prices.cached, prices.output)
    return [None if amount is None else f"{amount:f}" for amount in amounts]
