"""Why an analysis failed, and why a run must stop: closed lists that the outside relies on."""

from django.db import models

from apps.core import display

#: What an unexpected error says of itself to people. Its own text may hold SQL, rows or paths:
#: that goes to the log alone.
INTERNAL_MESSAGE = "The server log has the details."


class ErrorCode(models.TextChoices):
    """One cause per failed response (interfaces, *Closed lists*)."""

    INVALID_OUTPUT = "invalid_output", "The response doesn't match the schema"
    REFUSAL = "refusal", "The model refused to respond"
    LENGTH = "length", "The response was cut off at the maximum length"
    CONTENT_FILTER = "content_filter", "Blocked by the provider's content filter"
    EMPTY_OUTPUT = "empty_output", "The model returned an empty response"
    TIMEOUT = "timeout", "The model timed out"
    CONNECTION = "connection", "Couldn't reach the model"
    RATE_LIMITED = "rate_limited", "The provider's rate limit was reached"
    PROVIDER_ERROR = "provider_error", "The provider reported an error"
    AUTH = "auth", "The provider rejected the API key"
    QUOTA = "quota", "The provider account is out of credit or quota"
    SCHEMA_REJECTED = "schema_rejected", "The provider rejected the schema"
    TRANSCRIPT_TOO_LONG = "transcript_too_long", "The transcript exceeds the model's context window"
    INTERNAL = "internal", "Unexpected error in Debrief"


class PauseReason(models.TextChoices):
    """What makes a run pause instead of failing its items: no further request can succeed."""

    AUTH = "auth", "The provider rejected the API key"
    QUOTA = "quota", "The provider account is out of credit or quota"
    PROVIDER_DOWN = "provider_down", "The provider isn't responding"
    RATE_LIMITED = "rate_limited", "The provider limits the rate of requests"
    BUDGET = "budget", "The budget is reached"


#: Codes whose own message says all that the label says, and more exactly.
_TOLD_BY_MESSAGE = frozenset({ErrorCode.LENGTH})


def failure_sentence(code: str, message: str = "") -> str:
    """Return a failure as text: what the code means, then the message of the provider."""
    label = str(ErrorCode(code).label) if code in ErrorCode.values else display.words(code)
    message = message.strip()
    if not message or message.rstrip(".").lower() == label.lower():
        return f"{label}."
    return message if code in _TOLD_BY_MESSAGE else f"{label}. {message}"
