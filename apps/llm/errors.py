"""What can go wrong with a request, as closed lists (interfaces.md)."""

from django.db import models


class ErrorCode(models.TextChoices):
    """Why an analysis failed."""

    INVALID_OUTPUT = "invalid_output", "The answer does not fit the schema"
    REFUSAL = "refusal", "The model refused"
    LENGTH = "length", "The answer was cut off"
    CONTENT_FILTER = "content_filter", "The provider's content filter stepped in"
    EMPTY_OUTPUT = "empty_output", "The answer was empty"
    TIMEOUT = "timeout", "No answer in time"
    CONNECTION = "connection", "The provider could not be reached"
    RATE_LIMITED = "rate_limited", "The provider's rate limit"
    PROVIDER_ERROR = "provider_error", "The provider failed"
    AUTH = "auth", "The provider refuses the key"
    QUOTA = "quota", "The provider account has no quota left"
    SCHEMA_REJECTED = "schema_rejected", "The provider rejects the schema"
    TRANSCRIPT_TOO_LONG = "transcript_too_long", "The transcript is longer than the model reads"
    INTERNAL = "internal", "Debrief itself failed"
