"""CRM connections and their pushes."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field

from apps.core.schemas import Body, Choice, Count, Schema, Time, eg
from apps.crm.models import CrmConnection, Kind, Push, PushState
from apps.crm.services import InvalidConnection, Wanted

from . import examples
from .common import Page

Name = Annotated[str, Field(max_length=100)]
Texts = dict[str, str]


class ConnectionIn(Body):
    """A new connection."""

    missing = InvalidConnection
    invalid = InvalidConnection
    wrong_type = InvalidConnection
    example = {"kind": "http", "name": "Ours", "config": {"url": "https://example.com/contacts"}}

    kind: Annotated[Kind, Choice]
    name: Name
    config: Texts = {}
    """Settings of this kind, secrets included: `url` and `secret` of an HTTP endpoint."""
    field_map: Texts = {}
    """Contact field to field of the CRM. HubSpot and Salesforce: after a test."""
    create_missing: bool = False
    log_conversations: bool = False
    approval: bool = False

    def wanted(self, site_url: str) -> Wanted:
        """Return the settings of the new connection."""
        return Wanted(
            self.name, self.config, self.field_map, self.create_missing, self.log_conversations,
            self.approval, site_url,
        )  # fmt: skip


class ConnectionPatch(Body):
    """Changes to a connection. Omitted fields stay; `config` replaces everything but secrets."""

    invalid = InvalidConnection
    wrong_type = InvalidConnection
    example = {"approval": True}

    name: Name | None = None
    config: Texts | None = None
    field_map: Texts | None = None
    create_missing: bool | None = None
    log_conversations: bool | None = None
    approval: bool | None = None

    def wanted(self, crm: CrmConnection) -> Wanted:
        """Return the settings of a connection with these changes."""
        new = {name: value for name, value in self.given().items() if value is not None}
        names = ("name", "field_map", "create_missing", "log_conversations", "approval")
        kept = {name: new.get(name, getattr(crm, name)) for name in names}
        return Wanted(settings=new.get("config", crm.config), **kept)


class Connection(Schema):
    """A connection, without its secrets."""

    id: Annotated[str, eg(examples.CONNECTION_ID)]
    kind: Annotated[Kind, eg("http")]
    name: Annotated[str, eg("Ours")]
    config: Annotated[Texts, eg({"url": "https://example.com/contacts"})]
    field_map: Annotated[Texts, eg({"plan": "tier"})]
    create_missing: bool
    log_conversations: bool
    approval: bool
    state: Annotated[Literal["enabled", "disabled"], eg("enabled")]
    disabled_reason: str | None
    last_error: str | None
    failing_since: Time | None
    created_by: Annotated[str, eg("Ada Lovelace")]
    created_at: Annotated[Time, eg("2025-01-10T08:00:00Z")]

    @classmethod
    def from_connection(cls, crm: CrmConnection, **more: str) -> Self:
        """Return a connection."""
        return cls(
            id=crm.public_id,
            kind=Kind(crm.kind),
            name=crm.name,
            config=crm.config,
            field_map=crm.field_map,
            create_missing=crm.create_missing,
            log_conversations=crm.log_conversations,
            approval=crm.approval,
            state="enabled" if crm.is_enabled else "disabled",
            disabled_reason=crm.disabled_reason or None,
            last_error=crm.last_error or None,
            failing_since=crm.failing_since,
            created_by=crm.created_by,
            created_at=crm.created_at,
            **more,
        )


class NewConnection(Connection):
    """A new connection. A generated signing secret isn't shown again."""

    secret: Annotated[str | None, eg("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")] = None


class Tested(Schema):
    """The result of a connection test."""

    account: Annotated[str, eg("The endpoint accepted an example and returned 204.")]
    fields: Count
    """Fields that the CRM's contacts have; 0 for an HTTP endpoint."""
    notes: list[str]


class PushSchema(Schema):
    """One contact, or one logged conversation, on its way to a CRM."""

    id: Annotated[str, eg(examples.PUSH_ID)]
    contact_id: Annotated[str, eg(examples.CONTACT_ID)]
    conversation_id: Annotated[str | None, eg(examples.CONVERSATION_ID)]
    """The conversation that is logged; null for contact fields."""
    state: Annotated[PushState, eg("sent")]
    wanted: Annotated[dict[str, Any], eg({"plan": "pro"})]
    before: Annotated[dict[str, Any], eg({"plan": "free"})]
    attempts: Annotated[Count, eg(1)]
    status: Annotated[int | None, eg(204)]
    message: str | None
    request: str | None
    response: str | None
    created_at: Annotated[Time, eg("2025-01-18T15:30:04Z")]
    finished_at: Annotated[Time | None, eg("2025-01-18T15:30:05Z")]

    @classmethod
    def from_push(cls, push: Push) -> Self:
        """Return a push, loaded with its contact and conversation."""
        return cls(
            id=push.public_id,
            contact_id=push.contact.public_id,
            conversation_id=push.conversation.public_id if push.conversation else None,
            state=PushState(push.state),
            wanted=push.wanted,
            before=push.before,
            attempts=push.attempts,
            status=push.last_status,
            message=push.message or None,
            request=push.request or None,
            response=push.response or None,
            created_at=push.created_at,
            finished_at=push.finished_at,
        )


class Connections(Page[Connection]):
    """One page of connections."""


class Pushes(Page[PushSchema]):
    """One page of pushes."""
