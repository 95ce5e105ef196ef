"""The REST API: one router per path (two routers on one path answer 405 for each other)."""

from django.urls import path

from apps.accounts.api_auth import open_to_keys, session_or_key

from . import agents, backfills, conversations, intake, lifecycle, webhooks
from .auth import ApiKey
from .errors import add_handlers
from .openapi import TAGS, Api
from .reference import reference

app_name = "api"

api = Api(
    title="Debrief",
    version="1",
    description="Hand conversations in, read what was found in them, rerun, backfill, edit drafts.",
    auth=ApiKey(),
    docs_url=None,
    docs_decorator=session_or_key,
    urls_namespace=app_name,
    openapi_extra={"tags": TAGS},
)
add_handlers(api)
api.add_router("/conversations", conversations.router)
api.add_router("/conversations", lifecycle.router)
api.add_router("/agents", agents.router)
api.add_router("/backfills", backfills.router)
api.add_router("/webhooks", webhooks.router)
api.add_router("/intake", intake.router)

patterns, _, _ = api.urls
patterns = [path("docs", reference, name="openapi-view"), *patterns]
open_to_keys(patterns)

urlpatterns = patterns
