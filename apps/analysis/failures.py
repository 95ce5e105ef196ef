"""Failures in words."""

from apps.core import display
from apps.llm.errors import ErrorCode

#: Codes whose own message says all that the label says, and more exactly.
_TOLD_BY_MESSAGE = frozenset({ErrorCode.LENGTH})


def failure_sentence(code: str, message: str = "") -> str:
    """Return a failure as text: what the code means, then the message of the provider."""
    label = str(ErrorCode(code).label) if code in ErrorCode.values else display.words(code)
    message = message.strip()
    if not message or message.rstrip(".").lower() == label.lower():
        return f"{label}."
    return message if code in _TOLD_BY_MESSAGE else f"{label}. {message}"
