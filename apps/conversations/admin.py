"""Django admin: look up conversations. Receivers and analyses write them."""

from django.contrib import admin

from apps.accounts.admin_base import ReadOnlyAdmin
from apps.conversations.models import Conversation


@admin.register(Conversation)
class ConversationAdmin(ReadOnlyAdmin):
    """To read only: a change by hand would part the columns from the results behind them."""

    list_display = ("public_id", "channel", "agent", "status", "sort_at", "analysis_state")
    list_filter = ("channel", "status", "analysis_state", "agent")
    list_select_related = ("agent",)
    search_fields = ("=public_id", "=external_id")
    show_full_result_count = False
    ordering = ("-sort_at", "-pk")
