"""Why an analysis failed, and why a run must stop: closed lists that the outside relies on."""

from django.db import models

#: What an unexpected error says of itself to people. Its own text may hold SQL, rows or paths:
#: that goes to the log alone.
INTERNAL_MESSAGE = "The server log has the details."


class ErrorCode(models.TextChoices):
    """One cause per failed answer (interfaces, *Closed lists*)."""

    INVALID_OUTPUT = "invalid_output", "The answer does not fit the schema"
    REFUSAL = "refusal", "The model refused to answer"
    LENGTH = "length", "The answer was cut at its maximum length"
    CONTENT_FILTER = "content_filter", "The provider's content filter stopped the answer"
    EMPTY_OUTPUT = "empty_output", "The answer was empty"
    TIMEOUT = "timeout", "The model did not answer in time"
    CONNECTION = "connection", "The model's server could not be reached"
    RATE_LIMITED = "rate_limited", "The provider's rate limit was reached"
    PROVIDER_ERROR = "provider_error", "The provider reported an error"
    AUTH = "auth", "The provider refused the key"
    QUOTA = "quota", "The provider account has no money or quota left"
    SCHEMA_REJECTED = "schema_rejected", "The provider refused the schema in every form"
    TRANSCRIPT_TOO_LONG = "transcript_too_long", "The transcript does not fit the model's context"
    INTERNAL = "internal", "An unexpected error inside Debrief"


class PauseReason(models.TextChoices):
    """What makes a run pause instead of failing its items: no further request can succeed."""

    AUTH = "auth", "The provider refused the key"
    QUOTA = "quota", "The provider account has no money or quota left"
    PROVIDER_DOWN = "provider_down", "The provider does not answer"
    RATE_LIMITED = "rate_limited", "The provider limits the rate of requests"
