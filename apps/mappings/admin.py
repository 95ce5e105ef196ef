"""Django admin: look up mappings and contributions. Their pages and results change them."""

from django.contrib import admin

from apps.accounts.admin_base import ReadOnlyAdmin

from .models import Contribution, Mapping


@admin.register(Mapping)
class MappingAdmin(ReadOnlyAdmin):
    list_display = ("public_id", "analysis_field", "contact_field", "mode", "agent", "updated_at")
    list_filter = ("mode",)
    list_select_related = ("agent",)
    search_fields = ("=public_id", "analysis_field", "contact_field")


@admin.register(Contribution)
class ContributionAdmin(ReadOnlyAdmin):
    list_display = ("pk", "field", "kind", "mode", "conversation", "contact", "at")
    list_filter = ("kind", "mode")
    list_select_related = ("conversation", "contact")
    search_fields = ("field", "=conversation__public_id", "=contact__public_id")
    show_full_result_count = False
