"""Runs to look at; what may be done to one is on its own page."""

from django.contrib import admin

from apps.accounts.admin_base import ReadOnlyAdmin

from .models import Run


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    list_display = ["public_id", "channel", "state", "reason", "total", "created_by", "created_at"]
    list_filter = ["channel", "state"]
    search_fields = ["public_id", "created_by"]
