"""The IDs that every log line carries: of the request and of its objects.

A web process sets them for a request, a message to a worker takes them along, and a job of a
runner has its own. Nothing has to be passed to the function that logs.
"""

import logging
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from django.http import HttpRequest, HttpResponseBase

HEADER = "X-Request-ID"
_ADMISSIBLE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_PREFIXES = {
    "conv": "conversation_id",
    "an": "analysis_id",
    "bf": "run_id",
    "try": "run_id",
    "agt": "agent_id",
}

_ids: ContextVar[Mapping[str, str]] = ContextVar("log_ids", default={})  # noqa: B039 (never changed)


def log_ids() -> dict[str, str]:
    """Return the IDs of the current work."""
    return dict(_ids.get())


@contextmanager
def log_context(ids: Mapping[str, str], *, alone: bool = False) -> Iterator[None]:
    """Add IDs to the log lines of a block. ``alone``: replace those of the work around it."""
    token = _ids.set(ids if alone else {**_ids.get(), **ids})
    try:
        yield
    finally:
        _ids.reset(token)


def ids_in(values: Mapping[str, object]) -> dict[str, str]:
    """Return the public IDs among arguments of a view or a task, by the kind of object."""
    found = {}
    for value in values.values():
        if isinstance(value, str) and (name := _PREFIXES.get(value.partition("_")[0])):
            found[name] = value[:64]
    return found


class AddIds(logging.Filter):
    """Put the current IDs on each record: `context` for JSON, `ids` for text."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Admit every record."""
        # Django writes its line about a response after the last middleware, with the request.
        ids = log_ids() or getattr(getattr(record, "request", None), "log_ids", {})
        text = "".join(f" {name}={value}" for name, value in ids.items())
        vars(record).update(context=ids, ids=text)
        return True


class RequestIds:
    """Name each request in the log and in its response.

    The `X-Request-ID` of a proxy is used if it is short and plain, so that both logs agree.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        sent = request.headers.get(HEADER, "")
        name = sent if _ADMISSIBLE.fullmatch(sent) else secrets.token_hex(8)
        with log_context({"request_id": name}, alone=True):
            response = self.get_response(request)
            vars(request)["log_ids"] = log_ids()
        response.headers[HEADER] = name
        return response

    def process_view(
        self, request: HttpRequest, view: object, args: object, kwargs: dict[str, object]
    ) -> None:
        """Add what the address names; `__call__` removes it with the rest."""
        _ids.set({**_ids.get(), **ids_in(kwargs)})
