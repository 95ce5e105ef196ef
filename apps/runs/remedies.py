"""What helps against a failed item where another attempt would only repeat the failure."""

from apps.llm.errors import ErrorCode

_REMEDIES = {
    ErrorCode.TRANSCRIPT_TOO_LONG: (
        "Keep the beginning and the end of long transcripts (agent settings), or choose a model "
        "with a larger context. Then start a new backfill."
    ),
    ErrorCode.SCHEMA_REJECTED: "Simplify the agent’s fields, then start a new backfill.",
    ErrorCode.CONTENT_FILTER: (
        "The provider’s filter rejects these conversations. Another provider may read them."
    ),
    ErrorCode.REFUSAL: "Change the prompts or the model, then start a new backfill.",
    ErrorCode.LENGTH: (
        "Ask for fewer or shorter fields, or raise the model’s longest answer. "
        "Then start a new backfill."
    ),
}


def remedy(code: str) -> str:
    """Return what helps against a failure; empty where a retry may help."""
    return _REMEDIES.get(ErrorCode(code), "") if code in ErrorCode.values else ""


def can_change(code: str) -> bool:
    """Return whether another attempt with the same prompts and model may end in another way."""
    return not remedy(code)
