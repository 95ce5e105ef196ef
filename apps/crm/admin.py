"""Django admin of this room: to look things up. Mappings and connections are edited on their own
pages, where types are compared and credentials encrypted."""

from django.contrib import admin

from apps.accounts.admin_base import ReadOnlyAdmin

from .models import Contribution, CrmConnection, Mapping


@admin.register(Mapping)
class MappingAdmin(ReadOnlyAdmin):
    list_display = ("agent", "analysis_field", "built_in", "custom_field", "mode", "created_by")
    list_select_related = ("agent", "custom_field")
    list_filter = ("mode",)
    search_fields = ("=agent__public_id", "analysis_field")


@admin.register(Contribution)
class ContributionAdmin(ReadOnlyAdmin):
    list_display = (
        *("contact", "built_in", "custom_field", "mode", "origin", "conversation", "problem"),
        *("said_at", "by"),
    )
    list_select_related = ("contact", "custom_field", "conversation")
    list_filter = ("origin", "mode")
    search_fields = ("=contact__public_id", "=conversation__public_id", "=analysis_public_id")
    show_full_result_count = False


@admin.register(CrmConnection)
class CrmConnectionAdmin(ReadOnlyAdmin):
    list_display = ("name", "kind", "url", "enabled", "created_by", "created_at")
    list_filter = ("kind", "enabled")
