"""Django admin of this room: to look things up. Rules are edited on their own page, where a
condition is checked against the fields that there are."""

from django.contrib import admin

from apps.accounts.admin_base import ReadOnlyAdmin

from .models import AlertRule, FollowUp, Incident


@admin.register(AlertRule)
class AlertRuleAdmin(ReadOnlyAdmin):
    list_display = ("name", "public_id", "kind", "agent", "window", "enabled", "created_by")
    list_select_related = ("agent",)
    list_filter = ("kind", "enabled")
    search_fields = ("name", "=public_id")


@admin.register(Incident)
class IncidentAdmin(ReadOnlyAdmin):
    list_display = ("rule", "agent", "conversation", "opened_at", "closed_at", "closed_by")
    list_select_related = ("rule", "agent", "conversation")
    search_fields = ("=rule__public_id", "=conversation__public_id")


@admin.register(FollowUp)
class FollowUpAdmin(ReadOnlyAdmin):
    list_display = ("conversation", "owner", "created_at", "done_at", "done_by")
    list_select_related = ("conversation", "owner")
    search_fields = ("=conversation__public_id", "=owner__username")
