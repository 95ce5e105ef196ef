"""What Salesforce's errors mean: a new token, stop, wait, or an item of its own."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from .base import ConnectorError
from .exchange import Response

INVALID_SESSION: Final = "INVALID_SESSION_ID"
DAY_USED: Final = "REQUEST_LIMIT_EXCEEDED"
LIMIT_WAIT: Final = timedelta(hours=1)
"""The limit counts the last 24 hours, so requests become available little by little."""

RETRIED: Final = frozenset(
    {
        *(
            "UNABLE_TO_LOCK_ROW",
            "SERVER_UNAVAILABLE",
            "UNKNOWN_EXCEPTION",
            "REQUEST_RUNNING_TOO_LONG",
        ),
        *("CONCURRENT_REQUESTS_LIMIT_EXCEEDED", "TXN_SECURITY_RUNTIME_EXCEPTION"),
        "ALL_OR_NONE_OPERATION_ROLLED_BACK",
    }
)
GONE: Final = frozenset(
    {"ENTITY_IS_DELETED", "INVALID_CROSS_REFERENCE_KEY", "NOT_FOUND", "MALFORMED_ID"}
)
ABOUT_FIELDS: Final = frozenset(
    {
        *("INVALID_FIELD", "INVALID_FIELD_FOR_INSERT_UPDATE", "STRING_TOO_LONG"),
        *("INVALID_TYPE_ON_FIELD_IN_RECORD", "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"),
    }
)

_LONGEST_WORDS = 500
_ADVICE: Final[Mapping[str, str]] = {
    "DUPLICATES_DETECTED": "A duplicate rule blocks this record.",
    "FIELD_CUSTOM_VALIDATION_EXCEPTION": "A validation rule rejects it.",
    "INSUFFICIENT_ACCESS_OR_READONLY": "The run-as user can’t edit this record.",
    "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY": "The run-as user can’t edit this record.",
    "INVALID_FIELD_FOR_INSERT_UPDATE": "The run-as user can’t edit the field.",
}
_TOKEN_ADVICE: Final[Mapping[str, str]] = {
    "invalid_client_id": "The consumer key is wrong.",
    "invalid_client": "The consumer key or secret is wrong.",
    "invalid_grant": "The connected app has no run-as user, or that user may not sign in.",
    "unsupported_grant_type": "Turn on the client credentials flow for the connected app.",
    "invalid_app_access": "The run-as user may not use the connected app.",
    "inactive_user": "The run-as user is inactive.",
    "inactive_org": "The organization is inactive.",
}


def errors_of(response: Response) -> list[dict[str, Any]]:
    """Return the errors of a failed request."""
    listed = response.data if isinstance(response.data, list) else [response.data]
    return [one for one in listed if isinstance(one, dict)]


def code_of(error: Mapping[str, Any]) -> str:
    """Return an error's code: requests and items call it by different names."""
    return str(error.get("errorCode") or error.get("statusCode") or error.get("error") or "")


def codes(errors: Sequence[Mapping[str, Any]]) -> set[str]:
    """Return the codes of errors."""
    return {code_of(error) for error in errors}


def words_of(errors: Sequence[Mapping[str, Any]]) -> str:
    """Return Salesforce's message with the code, and an explanation where that helps."""
    return " ".join(_words(errors))[:_LONGEST_WORDS] or "no reason given"


def _words(errors: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for error in errors:
        code = code_of(error)
        message = str(error.get("message") or error.get("error_description") or "").strip()
        named = error.get("fields")
        fields = ", ".join(map(str, named)) if isinstance(named, list) else ""
        about = f" ({fields})" if fields and fields not in message else ""
        advice = f"{_ADVICE[code]} " if code in _ADVICE else ""
        yield f"{advice}{code}: {message}{about}" if code else message


def failure(response: Response) -> ConnectorError:
    """Return the error for a request that Salesforce took nothing of."""
    errors = errors_of(response)
    found, words, status = codes(errors), words_of(errors), response.status
    if DAY_USED in found:
        return response.error(limit_message(words), retry_after=LIMIT_WAIT)
    if INVALID_SESSION in found or status == 401:
        message = f"Salesforce rejects the connected app’s tokens: {words}"
        return response.error(message, stops=True)
    if found & RETRIED or status >= 500 or status == 429 or response.ok:
        message = f"Salesforce isn’t available ({status}): {words}"
        return response.error(message, retry_after=response.retry_after)
    if status == 403:
        return response.error(f"Salesforce denied access: {words}", stops=True)
    return response.error(f"Salesforce returned {status}: {words}", stops=True)


def limit_message(words: str) -> str:
    """Return the message for a used-up request limit."""
    return (
        "Salesforce’s limit of API requests in 24 hours is used up. Debrief tries again in 1 hour. "
        f"{words}"
    )


def token_failure(response: Response) -> ConnectorError:
    """Return the error for a failed request for a token."""
    errors = errors_of(response)
    if response.status >= 500 or response.status == 429 or not errors:
        message = f"Salesforce isn’t available ({response.status})."
        return response.error(message, retry_after=response.retry_after)
    advice = " ".join(_TOKEN_ADVICE.get(code, "") for code in codes(errors)).strip()
    message = f"Salesforce issued no token. {advice} {words_of(errors)}".replace("  ", " ")
    return response.error(message, stops=True)
