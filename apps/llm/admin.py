"""Django admin for models and their prices, and the ledger to read."""

from datetime import datetime, time
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet, Value
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from apps.accounts.admin_base import AuditedAdmin, ReadOnlyAdmin
from apps.core.display import NOTHING, money, rate
from apps.llm.connection_checks import ask_for_batches, batches_sentence, check_connection
from apps.llm.connections import is_openai
from apps.llm.models import LanguageModel, Usage
from apps.llm.specs import Prices
from apps.llm.typical_cost import Typical, typical_conversation

MOST_CHECKED = 5
"""Models that one click checks: each takes up to 45 seconds."""


def _new_price(label: str) -> forms.DecimalField:
    return forms.DecimalField(
        label=label, required=False, min_value=0, max_digits=12, decimal_places=6
    )


class ModelForm(forms.ModelForm[LanguageModel]):
    """A model with its current prices, and one change of them from a later day on."""

    planned_from = forms.DateField(
        label="New prices from",
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text="The change applies from the start of this day. Requests before it keep their "
        "prices.",
    )
    planned_input = _new_price("New input price")
    planned_cached = _new_price("New cached price")
    planned_output = _new_price("New output price")
    remove_planned = forms.BooleanField(
        label="Remove planned prices", required=False, help_text="Current prices stay."
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        model = kwargs.get("instance")
        if model is not None:
            model.settle_prices(timezone.now())
        super().__init__(*args, **kwargs)

    def clean(self) -> dict[str, Any]:
        """Check that planned prices are whole and lie ahead."""
        data = super().clean() or self.cleaned_data
        day, new = data.get("planned_from"), self._new_prices(data)
        if day and day <= timezone.localdate():
            self.add_error("planned_from", "The day must be after today. To change prices now, "
                           "change the current prices.")  # fmt: skip
        if day and not new.known:
            self.add_error("planned_from", "Set both new input and output prices.")
        if not day and new != Prices():
            self.add_error("planned_from", "Set the day from which the new prices apply.")
        return data

    def _new_prices(self, data: dict[str, Any]) -> Prices:
        return Prices(*(data.get(f"planned_{name}") for name in ("input", "cached", "output")))

    def save(self, commit: bool = True) -> LanguageModel:  # noqa: FBT001, FBT002 (Django's)
        """Save the model with its planned prices."""
        data = self.cleaned_data
        if data["remove_planned"]:
            self.instance.planned_prices = []
        if day := data["planned_from"]:
            begins = timezone.make_aware(datetime.combine(day, time()))
            self.instance.plan_prices(begins, self._new_prices(data))
        return super().save(commit)


@admin.register(LanguageModel)
class LanguageModelAdmin(AuditedAdmin):
    form = ModelForm
    actions = ("check_connection",)
    list_display = (
        *("name", "enabled", "input", "cached", "output", "free_first_run"),
        *("planned_from", "each", "structured_output", "has_batches", "has_flex", "is_local"),
    )
    list_filter = ("enabled", "is_local", "structured_output")
    search_fields = ("name",)
    readonly_fields = (
        *("is_local", "token_correction", "typical_cost", "planned"),
        *("has_batches", "has_flex"),
    )
    fieldsets = (
        (None, {"fields": ("name", "enabled", "is_local")}),
        ("Server", {"fields": ("base_url", "api_key_env", "structured_output", "parameters")}),
        (
            "Cheaper lanes of backfills",
            {
                "description": "What the provider has, as last seen. To look again, choose “Check "
                "connection” in the list of models.",
                "fields": ("has_batches", "has_flex", "batch_factor", "flex_factor"),
            },
        ),
        (
            "Prices",
            {
                "description": "US dollars per million tokens. Check your provider's price list; "
                "where a price is empty, pages say that it is unknown.",
                "fields": (
                    *("input_price", "cached_price", "output_price", "free_first_run"),
                    "typical_cost",
                ),
            },
        ),
        (
            "Planned prices",
            {
                "description": "A change that your provider has announced. Estimates and the "
                "ledger use it from that day on; costs until then stay as they are.",
                "fields": (
                    *("planned", "planned_from", "planned_input", "planned_cached"),
                    *("planned_output", "remove_planned"),
                ),
            },
        ),
        ("Size", {"fields": ("context_tokens", "max_output_tokens", "token_correction")}),
        (
            "Limits",
            {
                "fields": (
                    *("max_concurrency", "requests_per_minute", "tokens_per_minute"),
                    *("batch_queue_tokens",),
                )
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[LanguageModel]:
        """Add the typical conversation, which is read from the ledger once for all rows."""
        typical = typical_conversation()
        rows: QuerySet[LanguageModel] = super().get_queryset(request)
        return rows.annotate(
            typical_input=Value(typical.input_tokens),
            typical_output=Value(typical.output_tokens),
            typical_analyses=Value(typical.analyses),
        )

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Say above the list what its costs per conversation go by."""
        subtitle = f"Per conversation: {typical_conversation()}."
        return super().changelist_view(request, {**(extra_context or {}), "subtitle": subtitle})

    @admin.display(description="input price", ordering="input_price")
    def input(self, model: LanguageModel) -> str:
        return rate(model.prices.input)

    @admin.display(description="cached price", ordering="cached_price")
    def cached(self, model: LanguageModel) -> str:
        return rate(model.prices.cached)

    @admin.display(description="output price", ordering="output_price")
    def output(self, model: LanguageModel) -> str:
        return rate(model.prices.output)

    @admin.display(description="planned prices")
    def planned(self, model: LanguageModel) -> str:
        """Return the prices that lie ahead, one line each."""
        return (
            "; ".join(
                f"from {timezone.localtime(one.valid_from):%b %-d, %Y}: {_texts(one.prices)}"
                for one in model.planned
                if one.valid_from > timezone.now()
            )
            or "none"
        )

    @admin.display(description="prices change")
    def planned_from(self, model: LanguageModel) -> str:
        """Return the day of the next change of prices."""
        ahead = [one.valid_from for one in model.planned if one.valid_from > timezone.now()]
        return f"{timezone.localtime(ahead[0]):%b %-d, %Y}" if ahead else NOTHING

    @admin.display(description="per conversation")
    def each(self, model: LanguageModel) -> str:
        """Return what a typical conversation costs at the saved prices."""
        return self.typical_cost(model).partition(" for ")[0]

    @admin.display(description="per conversation")
    def typical_cost(self, model: LanguageModel) -> str:
        """Return the cost of a typical conversation at the saved prices, and its size."""
        row: Any = model
        if not hasattr(row, "typical_input"):  # a model that is being added
            return NOTHING
        typical = Typical(row.typical_input, row.typical_output, row.typical_analyses)
        found = typical.cost(model)
        return "price unknown" if found is None else f"about {money(found)} for {typical}"

    @admin.action(description="Check connection")
    def check_connection(self, request: HttpRequest, queryset: QuerySet[LanguageModel]) -> None:
        """Say of each model whether it responds, and which cheaper lanes its provider has."""
        for model in queryset[:MOST_CHECKED]:
            found = check_connection(model)
            level = messages.ERROR if found.problem else messages.SUCCESS
            self.message_user(request, f"Checked {model.name}. {found.sentence}", level)
        if queryset.count() > MOST_CHECKED:
            self.message_user(
                request, f"Only the first {MOST_CHECKED} were checked.", messages.WARNING
            )

    def save_model(
        self,
        request: HttpRequest,
        obj: LanguageModel,
        form: Any,
        change: bool,  # noqa: FBT001
    ) -> None:
        """Save a model. With another server, look whether that has a Batch API."""
        if {"base_url", "api_key_env"} & set(form.changed_data):
            obj.has_flex = obj.has_batches = None
        asks = obj.batch_factor is not None and obj.has_batches is None
        if asks and not is_openai(obj.spec()):
            obj.has_batches = ask_for_batches(obj)
            level = messages.SUCCESS if obj.has_batches else messages.WARNING
            self.message_user(
                request, f"Checked {obj.name}. {batches_sentence(obj.has_batches)}", level
            )
        super().save_model(request, obj, form, change)

    def get_readonly_fields(
        self, request: HttpRequest, obj: LanguageModel | None = None
    ) -> tuple[str, ...]:
        """A model keeps its name: configs and ledger speak of it by that."""
        fields = tuple(self.readonly_fields)
        return (*fields, "name") if obj is not None else fields


def _texts(prices: Prices) -> str:
    cached = "" if prices.cached is None else f"{rate(prices.cached)} cached, "
    return f"{rate(prices.input)} in, {cached}{rate(prices.output)} out"


@admin.register(Usage)
class UsageAdmin(ReadOnlyAdmin):
    list_display = (
        *("at", "purpose", "model_name", "trigger", "who", "input_tokens", "cached_tokens"),
        *("output_tokens", "cost", "tier", "analysis_id"),
    )
    list_filter = ("purpose", "trigger", "model_name")
    date_hierarchy = "at"
    show_full_result_count = False
