"""The REST API: one router per path (of two routers on one path, one returns 405)."""

from django.urls import path

from apps.accounts.api_auth import open_to_keys

from . import (
    agents,
    alerts,
    backfills,
    budgets,
    contact_fields,
    contacts,
    conversations,
    crm,
    derived_fields,
    follow_ups,
    incidents,
    insights,
    intake,
    lifecycle,
    mapping_runs,
    mappings,
    webhooks,
)
from .instance import api
from .reference import reference

app_name = "api"

api.add_router("/conversations", conversations.router)
api.add_router("/conversations", lifecycle.router)
api.add_router("/agents", agents.router)
api.add_router("/backfills", backfills.router)
api.add_router("/contacts", contacts.router)
api.add_router("/contact-fields", contact_fields.router)
api.add_router("/mappings", mapping_runs.router)
api.add_router("/mappings", mappings.router)
api.add_router("/derived-fields", derived_fields.router)
api.add_router("/budgets", budgets.router)
api.add_router("/follow-ups", follow_ups.router)
api.add_router("/crm-connections", crm.router)
api.add_router("/alert-rules", alerts.router)
api.add_router("/incidents", incidents.router)
api.add_router("/webhooks", webhooks.router)
api.add_router("/insights", insights.router)
api.add_router("/intake", intake.router)

patterns, _, _ = api.urls
patterns = [path("docs", reference, name="openapi-view"), *patterns]
open_to_keys(patterns)

urlpatterns = patterns
