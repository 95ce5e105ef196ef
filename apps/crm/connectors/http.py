"""A program of your own as the CRM: one signed POST for each changed contact."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from django.utils import timezone

from apps.core import signatures
from apps.core.addresses import url_problem
from apps.core.payloads import body_of, moment
from apps.core.signed_requests import Outgoing, Reply, send

from .base import (
    Activity,
    Connector,
    ConnectorError,
    Findings,
    ItemResult,
    Person,
    RemoteField,
    Setting,
    Verdict,
    WantedChange,
)

CONTACT_CHANGED = "contact.changed"
CONVERSATION_LOGGED = "conversation.logged"

_PASSING = frozenset({408, 425, 429})
_FINAL = frozenset({401, 403, 410})


class HttpConnector(Connector):
    """An HTTP endpoint. Requests are signed by Standard Webhooks, as those of webhooks."""

    kind = "http"
    label = "HTTP endpoint"
    settings: ClassVar[tuple[Setting, ...]] = (
        Setting(
            "url",
            "URL",
            kind="url",
            help="Gets a signed POST for each changed contact.",
            placeholder="https://example.com/contacts",
        ),
        Setting(
            "secret",
            "Signing secret",
            secret=True,
            required=False,
            help="Starts with whsec_. Leave empty to generate one.",
        ),
    )
    batch_size = 1
    in_flight = 8
    has_field_list = False
    can_create = False

    @classmethod
    def check(cls, config: Mapping[str, str], secrets: Mapping[str, str]) -> dict[str, str]:
        found = {}
        if problem := url_problem(config.get("url", "")):
            found["url"] = problem
        if (secret := secrets.get("secret", "")) and not signatures.is_secret(secret):
            found |= {"secret": "Enter a secret that starts with whsec_, followed by base64."}
        return found

    async def fields(self) -> list[RemoteField]:
        return []

    async def test(self, mapped: Sequence[str]) -> Findings:
        now = timezone.now()
        person = Person("ct_example", "+12025550134", "ada@example.com", "Ada", "Lovelace")
        change = WantedChange(
            person=person,
            wanted=dict.fromkeys(mapped or ["plan"], "Example"),
            before=dict.fromkeys(mapped or ["plan"]),
            types={},
            remote_id="",
            conversation_ids=("conv_example",),
            idempotency_key=f"test.{int(now.timestamp())}",
            at=now,
        )
        reply = await self._post(change.idempotency_key, changed_payload(change) | {"test": True})
        if not reply.ok:
            raise _error(reply, stops=False)
        return Findings(account=f"The endpoint accepted an example and returned {reply.status}.",
                        fields=())  # fmt: skip

    async def push(self, changes: Sequence[WantedChange]) -> list[ItemResult]:
        (change,) = changes
        return [_result(await self._post(change.idempotency_key, changed_payload(change)))]

    async def log_activity(self, activity: Activity) -> ItemResult:
        reply = await self._post(activity.idempotency_key, logged_payload(activity))
        return _result(reply, activity_id=activity.conversation_id)

    async def _post(self, key: str, payload: Mapping[str, Any]) -> Reply:
        what = Outgoing(
            url=self.account.config["url"],
            secrets=(self.account.secrets["secret"],),
            event_id=key,
            body=body_of(payload),
        )
        return await send(self.session, what, at=datetime.now(UTC))


def changed_payload(change: WantedChange) -> dict[str, Any]:
    """Return the body of ``contact.changed``, with its keys in the order of docs/crm.md."""
    return {
        "event": CONTACT_CHANGED,
        "timestamp": moment(change.at),
        "contact": _contact(change.person),
        "before": {name: change.before.get(name) for name in change.wanted},
        "after": dict(change.wanted),
        "conversation_ids": list(change.conversation_ids),
    }


def logged_payload(activity: Activity) -> dict[str, Any]:
    """Return the body of ``conversation.logged``, with its keys in the order of docs/crm.md."""
    return {
        "event": CONVERSATION_LOGGED,
        "conversation_id": activity.conversation_id,
        "contact": _contact(activity.person),
        "channel": activity.channel,
        "direction": activity.direction or None,
        "started_at": moment(activity.started_at),
        "duration_ms": activity.duration_ms,
        "summary": activity.summary,
        "outcome": activity.outcome,
        "url": activity.url or None,
        "updated": bool(activity.activity_id),
    }


def _contact(person: Person) -> dict[str, Any]:
    return {
        "id": person.contact_id,
        "phone_number": person.phone_number or None,
        "email": person.email or None,
        "first_name": person.first_name or None,
        "last_name": person.last_name or None,
    }


def _result(reply: Reply, activity_id: str = "") -> ItemResult:
    """Return the result of an item. Raises ConnectorError where the endpoint can't be used."""
    if not reply.ok and not _is_about_the_item(reply.status):
        raise _error(reply, stops=reply.status in _FINAL)
    return ItemResult(
        Verdict.OK if reply.ok else Verdict.PARKED,
        words=reply.error,
        activity_id=activity_id if reply.ok else "",
        sent=reply.request,
        got=reply.response,
        status=reply.status,
    )


def _is_about_the_item(status: int | None) -> bool:
    """Return whether a retry would be rejected too, while other contacts may be accepted."""
    return status is not None and 400 <= status < 500 and status not in _PASSING | _FINAL


def _error(reply: Reply, *, stops: bool) -> ConnectorError:
    return ConnectorError(
        reply.error,
        stops=stops,
        retry_after=reply.retry_after if reply.asks_for_rest else None,
        status=reply.status,
        sent=reply.request,
        got=reply.response,
    )
