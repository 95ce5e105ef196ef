"""Django admin of this room: which models there are and what they cost; the ledger to read."""

from django.contrib import admin
from django.http import HttpRequest

from apps.accounts.admin_base import AuditedAdmin, ReadOnlyAdmin
from apps.llm.models import LanguageModel, Usage


@admin.register(LanguageModel)
class LanguageModelAdmin(AuditedAdmin):
    list_display = (
        *("name", "enabled", "input_price", "cached_price", "output_price", "free_first_run"),
        *("structured_output", "is_local"),
    )
    list_filter = ("enabled", "is_local", "structured_output")
    search_fields = ("name",)
    readonly_fields = ("is_local", "token_correction")
    fieldsets = (
        (None, {"fields": ("name", "enabled", "is_local")}),
        ("Server", {"fields": ("base_url", "api_key_env", "structured_output", "parameters")}),
        (
            "Prices",
            {
                "description": "US dollars per million tokens. Check your provider's price list; "
                "where a price is empty, pages say that it is unknown.",
                "fields": ("input_price", "cached_price", "output_price", "free_first_run"),
            },
        ),
        ("Size", {"fields": ("context_tokens", "max_output_tokens", "token_correction")}),
        ("Limits", {"fields": ("max_concurrency", "requests_per_minute", "tokens_per_minute")}),
    )

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
        *("output_tokens", "cost", "analysis_id"),
    )
    list_filter = ("purpose", "trigger", "model_name")
    date_hierarchy = "at"
    show_full_result_count = False
