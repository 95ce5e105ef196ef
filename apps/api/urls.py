"""The REST API: one router per path (two routers on one path answer 405 for each other)."""

from ninja import NinjaAPI

from apps.accounts.api_auth import KeyAuth, open_to_keys, session_or_key

from . import agents, backfills, conversations
from .errors import add_handlers

app_name = "api"

api = NinjaAPI(
    title="Debrief",
    version="1",
    description="Read analyses, rerun, backfill, edit drafts, hand conversations in.",
    auth=KeyAuth(),
    docs_decorator=session_or_key,
    urls_namespace=app_name,
)
add_handlers(api)
api.add_router("/conversations", conversations.router)
api.add_router("/agents", agents.router)
api.add_router("/backfills", backfills.router)

patterns, _, _ = api.urls
open_to_keys(patterns)

urlpatterns = patterns
