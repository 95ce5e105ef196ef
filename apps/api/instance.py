"""The API object that urls.py fills and the documentation page reads."""

from apps.accounts.api_auth import session_or_key

from .errors import add_handlers
from .limits import ApiKey
from .openapi import TAGS, Api

api = Api(
    title="Debrief",
    version="1",
    description="Send conversations, read their analyses, rerun, backfill, edit drafts.",
    auth=ApiKey(),
    docs_url=None,
    docs_decorator=session_or_key,
    urls_namespace="api",
    openapi_extra={"tags": TAGS},
)
add_handlers(api)
