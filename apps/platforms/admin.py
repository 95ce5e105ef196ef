"""Django admin for sources and stored payloads, rejected ones above all.

Sources are made on the page *Intake* or by a command; both encrypt the secret.
"""

from django.contrib import admin

from apps.accounts.admin_base import ReadOnlyAdmin

from .models import IntakePayload, IntakeSource, SourceAgent


@admin.register(IntakeSource)
class IntakeSourceAdmin(ReadOnlyAdmin):
    list_display = ("name", "public_id", "kind", "platform_analysis", "wait_minutes", "created_by")
    list_filter = ("kind",)
    exclude = ("secret_set_at",)  # nothing of the secret is shown here, not even its age
    search_fields = ("name", "=public_id")


@admin.register(SourceAgent)
class SourceAgentAdmin(ReadOnlyAdmin):
    list_display = ("source", "external_id", "agent")
    list_select_related = ("source", "agent")
    search_fields = ("external_id", "=source__public_id", "=agent__public_id")


@admin.register(IntakePayload)
class IntakePayloadAdmin(ReadOnlyAdmin):
    list_display = (
        "received_at",
        "source",
        "upload_channel",
        "event",
        "external_id",
        "state",
        "reason",
    )
    list_select_related = ("source",)
    list_filter = ("state", "source", "upload_channel")
    search_fields = ("=external_id", "=source__public_id")
    readonly_fields = ("raw_text",)
    show_full_result_count = False

    @admin.display(description="Raw")
    def raw_text(self, payload: IntakePayload) -> str:
        """Return the bytes of a body that is not JSON, bytes that aren't text as escapes."""
        return bytes(payload.raw or b"").decode(errors="backslashreplace")
