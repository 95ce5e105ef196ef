"""Write contacts and activities to HubSpot.

A client of a few endpoints, not HubSpot's library: that one blocks, brings its own connections past
the guard against private addresses, and speaks the paths that HubSpot calls legacy.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from html import escape
from typing import Any, ClassVar

import aiohttp
from django.conf import settings as django_settings

from .activity_text import plain_text
from .base import (
    Account,
    Activity,
    FieldType,
    Findings,
    ItemResult,
    RemoteField,
    Setting,
    Verdict,
)
from .exchange import Response, as_text, exchange
from .hubspot_errors import existing_id, failure, is_about_fields, item_of, item_words, words_of
from .hubspot_lookup import Lookup
from .pace import Clock, Pace
from .records import Draft, Match, RecordConnector, Written
from .shortening import shortened
from .values import (
    HUBSPOT_TEXT,
    Dialect,
    HubSpotDialect,
    Misfit,
)

VERSION = "2026-03"
_CALL_TO_CONTACT, _COMMUNICATION_TO_CONTACT = 194, 81

_TYPES = {
    "string": FieldType.TEXT,
    "number": FieldType.NUMBER,
    "bool": FieldType.BOOLEAN,
    "date": FieldType.DATE,
    "datetime": FieldType.DATETIME,
    "enumeration": FieldType.CHOICE,
}
_PHONES = frozenset({"phone", "mobilephone", "hs_whatsapp_phone_number", "fax"})


class HubSpot(RecordConnector):
    """One HubSpot account, with the access token of a private app."""

    kind = "hubspot"
    label = "HubSpot"
    batch_size = 100
    dialect: ClassVar[Dialect] = HubSpotDialect()
    unique_setting = "unique_property"
    settings = (
        Setting(
            "access_token",
            "Access token",
            secret=True,
            help="The access token of a private app with the scopes crm.objects.contacts.read, "
            "crm.objects.contacts.write, and crm.schemas.contacts.read.",
            placeholder="pat-na1-…",
        ),
        Setting(
            "unique_property",
            "Unique property",
            required=False,
            help="The internal name of a contact property with unique values. Debrief writes its "
            "contact ID there, and finds contacts by it.",
            placeholder="debrief_contact_id",
        ),
    )

    def __init__(self, account: Account, session: aiohttp.ClientSession) -> None:
        super().__init__(account, session)
        self.api = django_settings.HUBSPOT_API_URL
        # The smallest limits of any plan, until the headers name the account's own.
        self.pace = Pace(95, 10.0)
        self.search_pace = Pace(4, 1.0)

    def wait_by(self, clock: Clock) -> None:
        """Wait by another clock than the machine's."""
        for pace in (self.pace, self.search_pace):
            pace.clock = clock

    @classmethod
    def check(
        cls,
        config: Mapping[str, str],  # noqa: ARG003 (it has the signature of what it overrides)
        secrets: Mapping[str, str],
    ) -> dict[str, str]:
        token = secrets.get("access_token", "")
        if token and not (token.isascii() and token.isprintable() and " " not in token):
            return {"access_token": "The access token must not contain spaces or line breaks."}
        return {}

    async def request(self, method: str, path: str, body: Any = None) -> Response:
        """Send a request within the limits; return a success, or an error about the request.

        Raises ConnectorError for any other error.
        """
        await self.pace.enter()
        if path.endswith("/search"):
            await self.search_pace.enter()
        response = await exchange(
            self.session,
            method,
            self.api + path,
            vendor=self.label,
            headers={"authorization": f"Bearer {self.account.secrets.get('access_token', '')}"},
            body=body,
        )
        self._learn(response.headers)
        about_content = response.ok or response.status in (400, 404, 409)
        # The body of a missing record's 404 is empty, that of a missing path isn't JSON.
        if about_content and (isinstance(response.data, dict) or not response.text):
            return response
        raise failure(response)

    def _learn(self, headers: Mapping[str, str]) -> None:
        try:
            limit = int(headers["X-HubSpot-RateLimit-Max"])
            window = int(headers["X-HubSpot-RateLimit-Interval-Milliseconds"])
            remaining = int(headers["X-HubSpot-RateLimit-Remaining"])
        except (KeyError, ValueError):
            return
        if limit > 0 and window > 0:
            self.pace.learn(limit=limit, seconds=window / 1000, remaining=remaining)

    # Fields

    async def read_fields(self) -> list[RemoteField]:
        response = await self.request("GET", f"/crm/properties/{VERSION}/contacts")
        if not response.ok:
            raise failure(response)
        listed = response.data.get("results") or []
        return [_field(one) for one in listed if not one.get("hidden")]

    async def test(self, mapped: Sequence[str]) -> Findings:
        fields = await self._known_fields(fresh=True)
        notes = [f"HubSpot has no property “{name}”." for name in mapped if name not in fields]
        notes += [
            f"{fields[name].label} can’t be changed through the API."
            for name in mapped
            if name in fields and not fields[name].writable
        ]
        if self.unique_field and self.unique_field not in fields:
            notes.append(f"HubSpot has no property “{self.unique_field}” for the contact ID.")
        names = [name for name in mapped if name in fields] or ["email", "firstname", "lastname"]
        path = f"{_objects('contacts')}?limit=1&properties={','.join(names[:50])}"
        response = await self.request("GET", path)
        if not response.ok:
            raise failure(response)
        sample = None
        for record in response.data.get("results") or []:
            held = [(n, record["properties"].get(n)) for n in names]
            name, value = next((pair for pair in held if pair[1]), held[0])
            sample = (fields[name].label if name in fields else name, str(value or ""))
        return Findings(self.label, tuple(fields.values()), sample, tuple(notes))

    # Lookup

    async def find(self, drafts: Sequence[Draft]) -> dict[int, Match]:
        lookup = Lookup(self.request, self.unique_field)
        ids = {d.index: d.person.contact_id for d in drafts}
        found = await lookup.by_unique(ids)
        emails = {d.index: d.person.email for d in drafts if d.person.email}
        found |= await lookup.by_email({i: e for i, e in emails.items() if i not in found}, ids)
        phones = {d.index: d.person.phone_number for d in drafts if d.person.phone_number}
        found |= await lookup.by_phone({i: p for i, p in phones.items() if i not in found}, ids)
        return found

    # Writing

    async def update(self, drafts: Sequence[Draft], written: Written) -> None:
        inputs = [{"id": d.remote_id, "properties": d.values} for d in drafts]
        await self._write("update", drafts, inputs, written)

    async def create(self, drafts: Sequence[Draft], written: Written) -> None:
        inputs = [{"properties": d.values} for d in drafts]
        await self._write("create", drafts, inputs, written)

    def new_values(self, draft: Draft) -> dict[str, Any]:
        person = draft.person
        own = {
            "email": person.email,
            "firstname": person.first_name,
            "lastname": person.last_name,
        }
        known = {name: value for name, value in own.items() if value}
        if not known:
            raise Misfit(
                "This contact has neither a name nor an email address, which HubSpot needs for a "
                "new contact. Debrief never writes phone numbers."
            )
        unique = {self.unique_field: person.contact_id} if self.unique_field else {}
        return known | draft.values | unique

    async def _write(
        self,
        action: str,
        drafts: Sequence[Draft],
        inputs: Sequence[dict[str, Any]],
        written: Written,
    ) -> None:
        """Send a batch; where HubSpot rejects all of it for one item, send its halves."""
        traced = [one | {"objectWriteTraceId": str(i)} for i, one in enumerate(inputs)]
        path = f"{_objects('contacts')}/batch/{action}"
        response = await self.request("POST", path, {"inputs": traced})
        if response.ok:
            rest = self._read_batch(response, drafts, inputs, written)
        elif len(drafts) == 1:
            written[drafts[0].index] = self._item_result(
                drafts[0], inputs[0], response.data, response.status
            )
            rest = []
        else:
            rest = list(range(len(drafts)))
        middle = (len(rest) + 1) // 2
        for part in (rest[:middle], rest[middle:]):
            if part:
                await self._write(
                    action, [drafts[i] for i in part], [inputs[i] for i in part], written
                )

    def _read_batch(
        self,
        response: Response,
        drafts: Sequence[Draft],
        inputs: Sequence[dict[str, Any]],
        written: Written,
    ) -> list[int]:
        """Take over the results of a batch; return the places of items it doesn't report on."""
        results, errors = response.data.get("results") or [], response.data.get("errors") or []
        places = {d.remote_id: i for i, d in enumerate(drafts) if d.remote_id}
        open_places = set(range(len(drafts)))
        for one in results:
            place = _place(one.get("objectWriteTraceId"), places.get(str(one.get("id"))))
            if place in open_places:
                open_places.discard(place)
                written[drafts[place].index] = ItemResult(
                    Verdict.OK,
                    remote_id=str(one.get("id") or drafts[place].remote_id),
                    sent=as_text(inputs[place]),
                    got=as_text(one),
                    status=response.status,
                )
        for error in errors:
            traces, ids = item_of(error)
            for place in [_place(t, None) for t in traces] + [places.get(i) for i in ids]:
                if place is not None and place in open_places:
                    open_places.discard(place)
                    result = self._item_result(drafts[place], inputs[place], error, 207)
                    written[drafts[place].index] = result
        if len(open_places) == len(drafts) == 1:
            error = errors[0] if errors else {"message": "HubSpot didn’t report a result."}
            written[drafts[0].index] = self._item_result(drafts[0], inputs[0], error, 207)
            return []
        return sorted(open_places)

    def _item_result(
        self, draft: Draft, sent: dict[str, Any], error: Mapping[str, Any], status: int
    ) -> ItemResult | None:
        """Return what an error means for its item; None where its record no longer exists."""
        category = str(error.get("category", ""))
        if draft.remote_id and (category == "OBJECT_NOT_FOUND" or status == 404):
            return None
        if is_about_fields(error):
            self.forget_fields()
        verdict, wait, words = Verdict.PARKED, None, item_words(error)
        if existing := existing_id(error) if not draft.remote_id else "":
            # Created since the lookup: the next attempt updates it.
            verdict, wait = Verdict.RETRY, timedelta(seconds=1)
        elif category in ("RATE_LIMITS", "INTERNAL_ERROR", "LOCKED"):
            verdict, wait = Verdict.RETRY, timedelta(seconds=10)
        return ItemResult(
            verdict,
            words,
            remote_id=draft.remote_id or existing,
            sent=as_text(sent),
            got=as_text(error),
            status=status,
            retry_after=wait,
            written=frozenset(),
        )

    # Activities

    async def log_for(self, remote_id: str, activity: Activity) -> ItemResult:
        kind, properties = _activity_properties(activity)
        body: dict[str, Any] = {"properties": properties}
        if activity.activity_id:
            kind, _, record_id = activity.activity_id.partition("/")
            response = await self.request("PATCH", f"{_objects(kind)}/{record_id}", body)
        else:
            body["associations"] = [_with_contact(kind, remote_id)]
            response = await self.request("POST", _objects(kind), body)
        if not response.ok:
            gone = response.status == 404 and bool(activity.activity_id)
            return ItemResult(
                Verdict.PARKED,
                "The activity was deleted in HubSpot." if gone else words_of(response),
                remote_id=remote_id,
                sent=as_text(body),
                got=response.stored_text,
                status=response.status,
            )
        return ItemResult(
            Verdict.OK,
            remote_id=remote_id,
            activity_id=f"{kind}/{response.data['id']}",
            sent=as_text(body),
            got=as_text(response.data),
            status=response.status,
        )


def _objects(kind: str) -> str:
    return f"/crm/objects/{VERSION}/{kind}"


def _place(trace: Any, otherwise: int | None) -> int | None:
    """Return the place of an item in its batch, from its trace ID where that comes back."""
    return int(trace) if isinstance(trace, str) and trace.isdecimal() else otherwise


def _field(listed: Mapping[str, Any]) -> RemoteField:
    """Return a property of HubSpot's list as a field."""
    name, kind, shown = str(listed["name"]), str(listed.get("type")), str(listed.get("fieldType"))
    options = [
        (str(one["value"]), str(one.get("label") or one["value"]))
        for one in listed.get("options") or []
    ]
    field_type = _TYPES.get(kind, FieldType.OTHER)
    if shown == "booleancheckbox":
        field_type = FieldType.BOOLEAN
    if name in _PHONES or shown == "phonenumber" or kind == "phone_number":
        field_type = FieldType.OTHER
    is_choice = field_type is FieldType.CHOICE
    meta = listed.get("modificationMetadata") or {}
    fixed = meta.get("readOnlyValue") or listed.get("calculated")
    return RemoteField(
        name=name,
        label=str(listed.get("label") or name),
        type=field_type,
        writable=not fixed and field_type is not FieldType.OTHER,
        vendor_type=f"{kind} ({shown})",
        choices=tuple(value for value, _ in options) if is_choice else (),
        labels=tuple(label for _, label in options) if is_choice else (),
        max_length=HUBSPOT_TEXT if field_type is FieldType.TEXT else None,
        several=shown == "checkbox",
    )


def _with_contact(kind: str, remote_id: str) -> dict[str, Any]:
    """Return the association of a new activity with its contact."""
    to_contact = _CALL_TO_CONTACT if kind == "calls" else _COMMUNICATION_TO_CONTACT
    association = {"associationCategory": "HUBSPOT_DEFINED", "associationTypeId": to_contact}
    return {"to": {"id": remote_id}, "types": [association]}


def _activity_properties(activity: Activity) -> tuple[str, dict[str, str]]:
    """Return which kind of activity a conversation is, and its properties. Bodies are HTML."""
    body = "<br>".join(escape(plain_text(activity, 30_000)).splitlines())
    at = HubSpotDialect().time(activity.started_at)
    if activity.channel != "voice":
        return "communications", {
            "hs_timestamp": at,
            "hs_communication_channel_type": "CUSTOM_CHANNEL_CONVERSATION",
            "hs_communication_logged_from": "CRM",
            "hs_communication_body": body,
        }
    call = {
        "hs_timestamp": at,
        "hs_call_title": shortened(activity.subject, 255),
        "hs_call_body": body,
        "hs_call_status": "COMPLETED",
    }
    if activity.duration_ms is not None:
        call["hs_call_duration"] = str(activity.duration_ms)
    if activity.direction in ("inbound", "outbound"):
        call["hs_call_direction"] = activity.direction.upper()
    return "calls", call
