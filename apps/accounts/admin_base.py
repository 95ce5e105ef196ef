"""Base classes of the Django admin pages of every app."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.db import DataError, transaction
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from apps.accounts import audit
from apps.accounts.actors import actor_of

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]  # generic in the stubs only
else:
    ModelAdmin = admin.ModelAdmin


class FoundAdmin(ModelAdmin):
    """A list for which any address is either a page or not found.

    Django puts what an address says into its queries: a year beyond the calendar or a NUL ends in
    a ValueError or an error of the database, some of them only while the page is drawn.
    """

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not request.GET:
            return super().changelist_view(request, extra_context)
        try:
            with transaction.atomic():
                response = super().changelist_view(request, extra_context)
                return response.render() if isinstance(response, TemplateResponse) else response
        except (ValueError, OverflowError, DataError) as error:
            raise Http404("There is no list at this address.") from error


class AuditedAdmin(FoundAdmin):
    """Writes actions in Django admin to the audit log too, next to Django's own."""

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


class ReadOnlyAdmin(FoundAdmin):
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
