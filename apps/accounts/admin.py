"""Django admin for members, API keys (never their secrets), and the audit log."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import UserChangeForm
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.http import HttpRequest

from apps.accounts.admin_base import AuditedAdmin, ReadOnlyAdmin
from apps.accounts.models import ApiKey, AuditEntry, Role, User
from apps.accounts.services import LastAdmin, keep_an_admin

admin.site.unregister(Group)  # roles say who may do what; nobody should look for it in groups


if TYPE_CHECKING:  # generic in the stubs only
    _UserChangeForm = UserChangeForm[User]
    _DjangoUserAdmin = DjangoUserAdmin[User]
else:
    _UserChangeForm = UserChangeForm
    _DjangoUserAdmin = DjangoUserAdmin


class UserForm(_UserChangeForm):
    """Holds to the rule of the People page: one admin stays."""

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        stays = cleaned.get("is_active") and (
            cleaned.get("role") == Role.ADMIN or cleaned.get("is_superuser")
        )
        if self.instance.pk and not stays:
            try:
                keep_an_admin(self.instance)  # the page saves in the same transaction
            except LastAdmin as error:
                raise ValidationError(error.message) from error
        return cleaned


@admin.register(User)
class UserAdmin(AuditedAdmin, _DjangoUserAdmin):
    form = UserForm
    list_display = ("username", "email", "first_name", "last_name", "role", "is_active")
    list_filter = ("role", "is_active")
    filter_horizontal = ()
    readonly_fields = ("last_login", "date_joined", "is_demo")
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Person", {"fields": ("first_name", "last_name", "email")}),
        ("Access", {"fields": ("role", "is_active", "is_superuser", "is_demo")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = (
        (
            None,
            {
                "classes": ("wide",),
                "fields": ("username", "role", "usable_password", "password1", "password2"),
            },
        ),
    )

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """People are deactivated: the audit log names them."""
        return False


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    """Made and revoked on their own page, where the secret is shown once."""

    list_display = ("name", "prefix", "role", "created_by", "last_used_at", "revoked_at")
    list_filter = ("role",)
    search_fields = ("name", "prefix")
    exclude = ("sha256",)


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = ("at", "who", "via", "verb", "target")
    list_filter = ("via",)
    list_select_related = ("user",)
    search_fields = ("=target", "verb", "who")
    show_full_result_count = False
