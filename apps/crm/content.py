"""The content of claimed pushes: the values to write, or the conversation to log."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.urls import reverse

from apps.contacts.models import Contact
from apps.contacts.values import ValueSpec
from apps.conversations.models import Conversation
from apps.core import cipher

from .claims import Batch, ClaimedPush, Item, Taken, account_of, unreadable_account
from .connectors.base import Account, Activity, FieldType, Person, WantedChange
from .models import CrmConnection, Kind, Push, PushKind, RemoteContact
from .values import canonical, digest, same, specs, values_of


@dataclass(frozen=True, slots=True)
class Prepared:
    """The requests to send, and the pushes that have nothing new to say."""

    batches: list[Batch]
    silent: list[Item]


def prepare(taken: Taken) -> Prepared:
    """Read the contacts of these pushes and return the requests to send now."""
    crm = taken.connection
    keys = [claimed.key for request in taken.requests for claimed in request]
    pushes = Push.objects.filter(pk__in=keys).select_related("contact").in_bulk()
    content = _Content(crm, list(pushes.values()))
    account, problem = _account(crm)
    prepared = Prepared([], [])
    for request in taken.requests:
        # A push that is missing lost its contact just now.
        held = [(claimed, pushes[claimed.key]) for claimed in request if claimed.key in pushes]
        items = [content.item(taken.kind, claimed, push) for claimed, push in held]
        prepared.silent.extend(item for item in items if item.is_silent)
        if news := tuple(item for item in items if not item.is_silent):
            prepared.batches.append(Batch(crm.pk, crm.kind, account, news, problem))
    return prepared


def _account(crm: CrmConnection) -> tuple[Account, str]:
    try:
        return account_of(crm), ""
    except cipher.Unreadable as error:
        return unreadable_account(crm), error.message


def remote_names(crm: CrmConnection, fields: Iterable[str]) -> dict[str, str]:
    """Return the CRM's name of each of these contact fields that is mapped, by contact field."""
    if crm.kind == Kind.HTTP and not crm.field_map:
        return {name: name for name in fields}
    return {name: crm.field_map[name] for name in fields if name in crm.field_map}


class _Content:
    """The rows that a group of pushes of one connection needs, in a few queries."""

    def __init__(self, crm: CrmConnection, pushes: Sequence[Push]) -> None:
        self.crm = crm
        contacts = {push.contact_id for push in pushes}
        self.remote = {
            one.contact_id: one
            for one in RemoteContact.objects.filter(connection=crm, contact__in=contacts)
        }
        self.specs: Mapping[str, ValueSpec] = specs()
        named = {pk for push in pushes for pk in push.conversation_ids}
        self.conversation_ids: dict[int, str] = dict(
            Conversation.objects.filter(pk__in=named).values_list("pk", "public_id")
        )
        logged = {push.conversation_id for push in pushes if push.conversation_id}
        self.conversations = Conversation.objects.defer("analysis_data").in_bulk(logged)

    def item(self, kind: PushKind, claimed: ClaimedPush, push: Push) -> Item:
        """Return a push with its content."""
        if kind == PushKind.ACTIVITY:
            return Item(claimed, push.contact_id, activity=self.activity(push))
        change = self.change(push, is_first=claimed.is_first)
        return Item(claimed, push.contact_id, change=change)

    def change(self, push: Push, *, is_first: bool) -> WantedChange | None:
        """Return what to write of the contact; None where the CRM has all of it."""
        current = values_of(push.contact)
        names = remote_names(self.crm, push.wanted)
        remote = self.remote.get(push.contact_id)
        known = remote.last_sent if remote else {}
        wanted = {
            names[name]: current.get(name)
            for name in names
            if self._is_news(push, name, current.get(name), known.get(names[name]), is_first)
        }
        if not wanted:
            return None
        before = {names[n]: push.before[n] for n in names if n in push.before}
        return WantedChange(
            person=_person(push.contact, current, remote_names(self.crm, current)),
            wanted=wanted,
            before=before,
            types={names[n]: self._type(n) for n in names},
            remote_id=remote.remote_id if remote else "",
            conversation_ids=tuple(
                self.conversation_ids[pk] for pk in push.conversation_ids
                if pk in self.conversation_ids
            ),
            idempotency_key=_key(push, wanted),
            at=push.changed_at,
        )  # fmt: skip

    def _is_news(
        self,
        push: Push,
        name: str,
        value: Any,
        sent: str | None,
        is_first: bool,  # noqa: FBT001
    ) -> bool:
        """Return whether this value is to be sent.

        With approval only a value that was shown is; one that has changed since waits for its own.
        A value that went back before anything was sent is none.
        """
        if self.crm.approval and not same(value, push.wanted[name]):
            return False
        if sent is not None:
            return sent != digest(value)
        return not (is_first and same(value, push.before.get(name)))

    def _type(self, name: str) -> FieldType:
        spec = self.specs.get(name)
        return FieldType(spec.type) if spec else FieldType.TEXT

    def activity(self, push: Push) -> Activity | None:
        """Return the conversation to log; None where it was logged with the same text."""
        conversation = self.conversations.get(push.conversation_id or 0)
        if conversation is None:
            return None
        text = {"summary": conversation.summary, "outcome": conversation.outcome}
        if push.sent and push.sent == {n: digest(v) for n, v in text.items()}:
            return None
        current = values_of(push.contact)
        remote = self.remote.get(push.contact_id)
        return Activity(
            person=_person(push.contact, current, remote_names(self.crm, current)),
            remote_id=remote.remote_id if remote else "",
            activity_id=push.activity_id,
            conversation_id=conversation.public_id,
            channel=conversation.channel,
            direction=conversation.direction,
            subject=_subject(conversation),
            started_at=conversation.started_at or conversation.sort_at,
            duration_ms=conversation.duration_ms,
            url=_link(self.crm, conversation),
            idempotency_key=_key(push, text),
            **text,
        )


def activity_digests(activity: Activity) -> dict[str, str]:
    """Return what a logged conversation said, to see later whether another text is new."""
    return {"summary": digest(activity.summary), "outcome": digest(activity.outcome)}


def _person(contact: Contact, current: Mapping[str, Any], mapped: Mapping[str, str]) -> Person:
    return Person(
        contact_id=contact.public_id,
        phone_number=contact.phone_number or "",
        email=contact.email or "",
        first_name=contact.first_name,
        last_name=contact.last_name,
        fields={n: v for n, v in current.items() if n in mapped and v is not None},
    )


def _key(push: Push, values: Mapping[str, Any]) -> str:
    """Return the idempotency key: another one for other values, so that none is taken for old."""
    said = hashlib.sha256(canonical(values).encode()).hexdigest()[:8]
    return f"{push.public_id}.{push.revision}.{said}"


def _subject(conversation: Conversation) -> str:
    what = "Call" if conversation.channel == "voice" else "Chat"
    return f"{what}: {conversation.outcome}" if conversation.outcome else what


def _link(crm: CrmConnection, conversation: Conversation) -> str:
    if not crm.site_url:
        return ""
    path = reverse("analysis:conversation", args=[conversation.public_id])
    return crm.site_url.rstrip("/") + path
