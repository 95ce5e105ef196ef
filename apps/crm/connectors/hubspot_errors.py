"""What HubSpot's errors mean: stop, wait, or an item of its own.

Every part of an error is optional, as HubSpot's reference asks to assume.
"""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Final

from .base import ConnectorError
from .exchange import Response

_EXISTING = re.compile(r"Existing ID: *([0-9]+)")
_LIST = re.compile(r"\[.*\]", re.DOTALL)
_LONGEST_WORDS = 500
_LOCKED, _MIGRATION = 423, 477

_WAITS: Final[Mapping[str, timedelta]] = {
    "SECONDLY": timedelta(seconds=1),
    "TEN_SECONDLY_ROLLING": timedelta(seconds=10),
    "DAILY": timedelta(hours=1),
}
_REJECTED: Final = (
    "HubSpot rejected the access token. Create a new one in HubSpot, save it in this connection, "
    "and test it."
)
_NO_SCOPE: Final = (
    "The HubSpot app lacks the scope {}. Add it in HubSpot, then test the connection."
)
_DAY_USED: Final = (
    "HubSpot’s daily request limit is used up. HubSpot resets it at midnight in the account’s time "
    "zone."
)


def failure(response: Response) -> ConnectorError:
    """Return the error for a request that HubSpot took nothing of."""
    status, words = response.status, words_of(response)
    if status == 401:
        return response.error(_REJECTED, stops=True)
    if status == 403:
        scopes = ", ".join(_missing_scopes(response.data))
        denied = f"HubSpot denied access: {words}"
        return response.error(_NO_SCOPE.format(scopes) if scopes else denied, stops=True)
    if status == 429:
        return _limited(response)
    if status == _LOCKED:
        return response.error("HubSpot has locked the record.", retry_after=timedelta(seconds=2))
    wait = response.retry_after
    if status == _MIGRATION:
        return response.error("HubSpot is migrating the account.", retry_after=wait)
    if status >= 500 or response.ok:
        return response.error(f"HubSpot isn’t available ({status}): {words}", retry_after=wait)
    return response.error(f"HubSpot returned {status}: {words}", stops=True)


def _limited(response: Response) -> ConnectorError:
    data = response.data if isinstance(response.data, dict) else {}
    policy = str(data.get("policyName", ""))
    wait = response.retry_after or _WAITS.get(policy, timedelta(seconds=10))
    message = _DAY_USED if policy == "DAILY" else "HubSpot’s request limit was reached."
    return response.error(message, retry_after=wait)


def _missing_scopes(data: Any) -> list[str]:
    found = []
    for error in _errors(data):
        context = error.get("context")
        if isinstance(context, dict):
            for name in ("requiredGranularScopes", "requiredScopes", "missingScopes"):
                value = context.get(name)
                found += [str(one) for one in value] if isinstance(value, list) else []
    return list(dict.fromkeys(found))


def _errors(data: Any) -> Iterator[dict[str, Any]]:
    errors = data.get("errors") if isinstance(data, dict) else None
    listed = errors if isinstance(errors, list) else []
    yield from (one for one in listed if isinstance(one, dict))


def words_of(response: Response) -> str:
    """Return HubSpot's words for a failed request."""
    if isinstance(response.data, dict):
        return item_words(response.data)
    return "the response isn’t JSON."


def item_words(error: Mapping[str, Any]) -> str:
    """Return the words of an error: those about single properties where it has them."""
    message = str(error.get("message") or error.get("category") or "no reason given")
    properties = [
        f"{one['name']}: {one['message']}" if one.get("name") else str(one["message"])
        for one in _property_errors(message)
    ]
    if properties:
        return " ".join(properties)[:_LONGEST_WORDS]
    details = [str(one["message"]) for one in _errors(dict(error)) if one.get("message")]
    return " ".join([message, *details])[:_LONGEST_WORDS]


def _property_errors(message: str) -> list[dict[str, Any]]:
    """Return the list that HubSpot writes into its message as JSON; empty where there is none."""
    found = _LIST.search(message)
    try:
        listed = json.loads(found[0]) if found else []
    except (ValueError, RecursionError):
        return []
    return [one for one in listed if isinstance(one, dict) and one.get("message")]


def existing_id(error: Mapping[str, Any]) -> str:
    """Return the ID of the existing record that a conflict names; empty for other errors."""
    found = _EXISTING.search(str(error.get("message", "")))
    return found[1] if found else ""


def is_about_fields(error: Mapping[str, Any]) -> bool:
    """Return whether the field list that Debrief read may be out of date."""
    codes = {str(one.get("error")) for one in _property_errors(str(error.get("message", "")))}
    return bool(codes & {"PROPERTY_DOESNT_EXIST", "INVALID_OPTION", "READ_ONLY_VALUE"})


def item_of(error: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return the trace IDs and the record IDs that an error of a batch is about."""
    context = error.get("context")
    context = context if isinstance(context, dict) else {}
    traces = _texts(context.get("objectWriteTraceId"))
    ids = _texts(context.get("ids")) + _texts(context.get("id")) + _texts(error.get("id"))
    return traces, ids


def _texts(value: Any) -> list[str]:
    if isinstance(value, list):
        return [str(one) for one in value]
    return [] if value is None else [str(value)]
