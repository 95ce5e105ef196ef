"""What Django admin pages of every room share."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.db.models import Model
from django.http import HttpRequest

from apps.accounts import audit
from apps.accounts.actors import actor_of

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]  # generic in the stubs only
else:
    ModelAdmin = admin.ModelAdmin


class AuditedAdmin(ModelAdmin):
    """Writes what is done in Django admin to the audit log too, beside Django's own."""

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> LogEntry:
        _record(request, obj, "created", message)
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> LogEntry:
        _record(request, obj, "changed", message)
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> list[LogEntry]:
        for obj in queryset:
            _record(request, obj, "deleted", "")
        return list(super().log_deletions(request, queryset))


class ReadOnlyAdmin(ModelAdmin):
    """Rows to look at."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


def _record(request: HttpRequest, obj: Model, done: str, message: Any) -> None:
    name = obj._meta.model_name
    target = getattr(obj, "public_id", None) or f"{name}_{obj.pk}"
    detail = {"in": "Django admin", "what": str(obj), "changes": message}
    audit.record(by=actor_of(request), verb=f"{name}.{done}", target=target, detail=detail)
