"""Django admin: look up CRM connections and pushes. Their pages and the API change them."""

from django.contrib import admin

from apps.accounts.admin_base import ReadOnlyAdmin

from .models import CrmConnection, Push


@admin.register(CrmConnection)
class CrmConnectionAdmin(ReadOnlyAdmin):
    list_display = ("name", "public_id", "kind", "failing_since", "disabled_at", "created_at")
    list_filter = ("kind",)
    search_fields = ("name", "=public_id")
    exclude = ("remote_fields",)


@admin.register(Push)
class PushAdmin(ReadOnlyAdmin):
    list_display = ("public_id", "connection", "contact", "kind", "state", "attempts", "changed_at")
    list_filter = ("state", "kind")
    list_select_related = ("connection", "contact")
    search_fields = ("=public_id", "=contact__public_id", "=connection__public_id")
    show_full_result_count = False
