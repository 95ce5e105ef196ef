"""Django admin for models and their prices, and the ledger to read."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet, Value
from django.http import HttpRequest, HttpResponse

from apps.accounts.admin_base import AuditedAdmin, ReadOnlyAdmin
from apps.core.display import NOTHING, money
from apps.llm.models import LanguageModel, Usage
from apps.llm.typical_cost import Typical, typical_conversation


@admin.register(LanguageModel)
class LanguageModelAdmin(AuditedAdmin):
    list_display = (
        *("name", "enabled", "input_price", "cached_price", "output_price", "free_first_run"),
        *("each", "structured_output", "is_local"),
    )
    list_filter = ("enabled", "is_local", "structured_output")
    search_fields = ("name",)
    readonly_fields = ("is_local", "token_correction", "typical_cost")
    fieldsets = (
        (None, {"fields": ("name", "enabled", "is_local")}),
        ("Server", {"fields": ("base_url", "api_key_env", "structured_output", "parameters")}),
        (
            "Prices",
            {
                "description": "US dollars per million tokens. Check your provider's price list; "
                "where a price is empty, pages say that it is unknown.",
                "fields": (
                    *("input_price", "cached_price", "output_price", "flex_factor"),
                    *("free_first_run",),
                    "typical_cost",
                ),
            },
        ),
        ("Size", {"fields": ("context_tokens", "max_output_tokens", "token_correction")}),
        ("Limits", {"fields": ("max_concurrency", "requests_per_minute", "tokens_per_minute")}),
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

    def get_readonly_fields(
        self, request: HttpRequest, obj: LanguageModel | None = None
    ) -> tuple[str, ...]:
        """A model keeps its name: configs and ledger speak of it by that."""
        fields = tuple(self.readonly_fields)
        return (*fields, "name") if obj is not None else fields


@admin.register(Usage)
class UsageAdmin(ReadOnlyAdmin):
    list_display = (
        *("at", "purpose", "model_name", "trigger", "who", "input_tokens", "cached_tokens"),
        *("output_tokens", "cost", "tier", "analysis_id"),
    )
    list_filter = ("purpose", "trigger", "model_name")
    date_hierarchy = "at"
    show_full_result_count = False
