"""Django admin: look up contacts. Conversations, mappings, and the contact pages change them."""

from django.contrib import admin

from apps.accounts.admin_base import ReadOnlyAdmin

from .models import Contact, ContactAlias, ContactField


@admin.register(Contact)
class ContactAdmin(ReadOnlyAdmin):
    list_display = ("public_id", "phone_number", "email", "first_name", "last_name", "updated_at")
    list_filter = ("origin",)
    search_fields = ("=public_id", "=phone_number", "=email")
    show_full_result_count = False


@admin.register(ContactAlias)
class ContactAliasAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "contact", "created_at")
    list_select_related = ("contact",)
    search_fields = ("=phone_number", "=email", "=contact__public_id")
    show_full_result_count = False


@admin.register(ContactField)
class ContactFieldAdmin(ReadOnlyAdmin):
    list_display = ("name", "label", "type", "created_by")
    list_filter = ("type",)
    search_fields = ("name", "label")
