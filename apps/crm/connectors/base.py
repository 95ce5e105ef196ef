"""The input and output of a connector.

A connector speaks to one CRM over HTTP. It gets contacts with the values that their records should
have, and returns a result for each. It never reads or writes the database: the queue decides which
contacts are sent and when, and records the results.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar

import aiohttp


class FieldType(StrEnum):
    """The type of a field: those of contact fields, and *other* for what can't be mapped.

    A value is a str for text, choice, date (``2025-01-18``) and datetime (``2025-01-18T15:30:00Z``,
    in UTC), an int or a float for number, a bool for boolean, and None for "no value".
    """

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    DATETIME = "datetime"
    CHOICE = "choice"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class RemoteField:
    """A field of the CRM's contact record.

    ``name`` is its name in requests and ``vendor_type`` the vendor's own word for its type.
    ``choices`` are the values that a choice takes, as they are written in requests, and ``labels``
    what the CRM's users see for each. ``restricted``: no other value is taken. ``several``: more
    than one is. ``whole``: a number must be a whole one. ``max_length`` is in UTF-16 units.
    """

    name: str
    label: str
    type: FieldType
    writable: bool = True
    vendor_type: str = ""
    choices: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    several: bool = False
    restricted: bool = True
    whole: bool = False
    max_length: int | None = None


@dataclass(frozen=True, slots=True)
class Setting:
    """A value that a connection of this kind needs. Secrets are stored encrypted and never shown.

    ``kind`` is ``text`` or ``url``. ``help`` is shown below the field.
    """

    name: str
    label: str
    secret: bool = False
    required: bool = True
    kind: str = "text"
    help: str = ""
    placeholder: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """A connection as its connector sees it.

    ``config`` and ``secrets`` hold the connector's `settings` by name. ``key`` names the
    connection with these settings: what follows from them can be cached by it.
    """

    key: str
    config: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    create_missing: bool = False


@dataclass(frozen=True, slots=True)
class Person:
    """The contact of a push, as it is now. Unknown values are empty.

    ``fields`` holds the values of all mapped contact fields by their names in Debrief, built-in
    ones (``first_name``, ``last_name``, ``email``) included.
    """

    contact_id: str
    phone_number: str = ""
    email: str = ""
    first_name: str = ""
    last_name: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WantedChange:
    """The values that one contact's record should hold: ``wanted``, by the CRM's field names.

    ``remote_id`` is the record's ID in the CRM, empty while it isn't known. ``before`` are the
    values before the change, by the CRM's names; a value that isn't known is left out.
    ``conversation_ids`` are the public IDs of the conversations that changed the contact.
    ``idempotency_key`` is the same for each attempt to send the same values. ``at`` is when the
    contact changed last.
    """

    person: Person
    wanted: Mapping[str, Any]
    before: Mapping[str, Any]
    types: Mapping[str, FieldType]
    remote_id: str
    conversation_ids: tuple[str, ...]
    idempotency_key: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Activity:
    """A conversation to be logged in the CRM.

    ``activity_id`` is the ID of the activity in the CRM where it was logged before: then that one
    is updated. ``remote_id`` is the ID of the contact's record, empty while it isn't known.
    ``url`` is the conversation's page in Debrief; empty where Debrief doesn't know its address.
    """

    person: Person
    remote_id: str
    activity_id: str
    conversation_id: str
    channel: str
    direction: str
    subject: str
    summary: str
    outcome: str
    started_at: datetime
    duration_ms: int | None
    url: str
    idempotency_key: str


class Verdict(StrEnum):
    """How one item of a request ended.

    *Parked*: the CRM rejected it, and a retry would be rejected too. *Retry*: it failed for a
    reason of its own that passes, such as a locked record.
    """

    OK = "ok"
    PARKED = "parked"
    RETRY = "retry"


@dataclass(frozen=True, slots=True)
class ItemResult:
    """How one item ended.

    ``words`` says why, in the vendor's words, for a person. ``remote_id`` is the ID of the
    contact's record where it is known now. ``activity_id`` is that of a logged activity. ``sent``
    is the request of this item and ``got`` the response, both as text without secrets.
    ``written`` names the fields that the CRM took; None means all that were wanted.
    """

    verdict: Verdict
    words: str = ""
    remote_id: str = ""
    activity_id: str = ""
    sent: str = ""
    got: str = ""
    status: int | None = None
    retry_after: timedelta | None = None
    written: frozenset[str] | None = None


class ConnectorError(Exception):
    """The CRM took nothing of a request. ``message`` says why, for a person.

    With ``stops`` only a person can help (rejected credentials): the connection stops. Else
    everything is sent again, after ``retry_after`` at the earliest. Items for which a result is
    known already are in ``results``, by their place in the request.
    """

    def __init__(
        self,
        message: str,
        *,
        stops: bool = False,
        retry_after: timedelta | None = None,
        status: int | None = None,
        sent: str = "",
        got: str = "",
        results: Mapping[int, ItemResult] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.stops = stops
        self.retry_after = retry_after
        self.status = status
        self.sent = sent
        self.got = got
        self.results = dict(results or {})


@dataclass(frozen=True, slots=True)
class Findings:
    """The result of a connection test, and one value that was read.

    ``sample`` is the label of a field and the value that one record holds in it; None where the
    CRM has no record yet.
    """

    account: str
    fields: tuple[RemoteField, ...]
    sample: tuple[str, str] | None = None
    notes: tuple[str, ...] = ()


class Connector(ABC):
    """A connection in use. One per connection and process, made again when its settings change.

    ``session`` is shared by all connectors of the process: it never connects to private addresses
    (unless they are allowed), follows no proxy of the environment, and stores no cookies. Pass
    ``allow_redirects=False`` and a timeout with each request.
    """

    #: A template shows what a class says of itself: it must not make one.
    do_not_call_in_templates: ClassVar[bool] = True
    kind: ClassVar[str]
    label: ClassVar[str]
    settings: ClassVar[tuple[Setting, ...]] = ()
    #: Contacts in one call of `push`.
    batch_size: ClassVar[int] = 1
    #: Calls in flight to one connection, in one process.
    in_flight: ClassVar[int] = 2
    #: Whether contact fields are mapped to fields of a list that the CRM has.
    has_field_list: ClassVar[bool] = True
    #: Whether the record of a contact that the CRM doesn't have can be created.
    can_create: ClassVar[bool] = True

    def __init__(self, account: Account, session: aiohttp.ClientSession) -> None:
        self.account = account
        self.session = session

    @classmethod
    def check(cls, config: Mapping[str, str], secrets: Mapping[str, str]) -> dict[str, str]:  # noqa: ARG003 (for overrides)
        """Return the errors in these settings: a message by the setting's name."""
        return {}

    @abstractmethod
    async def fields(self) -> list[RemoteField]:
        """Return the fields of the CRM's contact record. Raises ConnectorError."""

    @abstractmethod
    async def test(self, mapped: Sequence[str]) -> Findings:
        """Read the field list, and one value back; ``mapped`` are the remote names in use.

        Raises ConnectorError.
        """

    @abstractmethod
    async def push(self, changes: Sequence[WantedChange]) -> list[ItemResult]:
        """Write up to `batch_size` contacts; return a result for each, in their order.

        Raises ConnectorError where the request failed as a whole.
        """

    @abstractmethod
    async def log_activity(self, activity: Activity) -> ItemResult:
        """Log a conversation, or update it where ``activity_id`` is given. Raises
        ConnectorError."""
