"""Django admin of this app: analyses, read-only because they are immutable."""

from django.contrib import admin

from apps.accounts.admin_base import ReadOnlyAdmin

from .models import Analysis


@admin.register(Analysis)
class AnalysisAdmin(ReadOnlyAdmin):
    list_display = (
        "public_id",
        "conversation",
        "agent_version",
        "trigger",
        "state",
        "is_current",
        "error_code",
        "model",
        "cost",
        "requested_by",
        "finished_at",
    )
    list_filter = ("state", "trigger", "error_code", "priority")
    search_fields = ("=public_id", "=conversation__public_id", "=backfill_public_id")
    search_help_text = "The id of an analysis, a conversation or a backfill."
    list_select_related = ("conversation", "agent_version__agent")
    show_full_result_count = False
    ordering = ("-pk",)
