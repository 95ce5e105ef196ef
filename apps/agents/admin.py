"""Django admin of agents, read-only. Agents are edited on their own pages, where a draft is
validated, locked, and stored as a save."""

from django.contrib import admin

from apps.accounts.admin_base import ReadOnlyAdmin
from apps.agents.models import Agent, AgentVersion, AnalysisConfig, ConfigSave


@admin.register(Agent)
class AgentAdmin(ReadOnlyAdmin):
    list_display = ("name", "public_id", "channel", "external_id", "created_by", "deactivated_at")
    list_filter = ("channel", "unconfigured")
    search_fields = ("name", "=public_id", "=external_id")


@admin.register(AgentVersion)
class AgentVersionAdmin(ReadOnlyAdmin):
    list_display = ("agent", "number", "title", "published_at", "published_by", "saved_at")
    list_select_related = ("agent",)
    list_filter = ("published_at",)
    search_fields = ("agent__name", "=agent__public_id", "title")


@admin.register(AnalysisConfig)
class AnalysisConfigAdmin(ReadOnlyAdmin):
    list_display = ("short", "model", "created_at")
    list_select_related = ("model",)
    search_fields = ("sha256__startswith",)
    show_full_result_count = False


@admin.register(ConfigSave)
class ConfigSaveAdmin(ReadOnlyAdmin):
    list_display = ("agent_version", "by", "at", "note")
    list_select_related = ("agent_version__agent",)
    search_fields = ("=agent_version__agent__public_id", "by")
    show_full_result_count = False
