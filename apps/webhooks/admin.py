"""Django admin of this app, read-only.

Endpoints are created on their own page and by the API, where a secret is made, shown once, and
encrypted.
"""

from django.contrib import admin

from apps.accounts.admin_base import ReadOnlyAdmin

from .models import Delivery, Endpoint, Event


@admin.register(Endpoint)
class EndpointAdmin(ReadOnlyAdmin):
    list_display = ("url", "public_id", "events", "agent", "consecutive_failures", "disabled_at")
    list_select_related = ("agent",)
    search_fields = ("url", "=public_id")
    exclude = ("old_secret_until",)


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    list_display = ("public_id", "type", "conversation", "created_at")
    list_select_related = ("conversation",)
    list_filter = ("type",)
    search_fields = ("=public_id", "=conversation__public_id")
    show_full_result_count = False


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    list_display = ("event", "endpoint", "state", "attempts", "last_status", "last_attempt_at")
    list_select_related = ("event", "endpoint")
    list_filter = ("state",)
    search_fields = ("=event__public_id", "=endpoint__public_id")
    show_full_result_count = False
