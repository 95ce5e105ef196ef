"""Write contacts and activities to Salesforce.

A client of a few endpoints, not a library: the maintained one blocks, and brings its own
connections past the guard against private addresses.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar
from urllib.parse import urlsplit

import aiohttp
from django.conf import settings

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
from .exchange import Response, as_text
from .records import Draft, Match, RecordConnector, Written
from .salesforce_api import VERSION, SalesforceApi
from .salesforce_errors import (
    ABOUT_FIELDS,
    GONE,
    RETRIED,
    codes,
    errors_of,
    failure,
    words_of,
)
from .salesforce_lookup import Lookup
from .salesforce_tasks import Tasks
from .values import Dialect, Misfit, SalesforceDialect

_DATA = f"/services/data/{VERSION}"
_COLLECTION = f"{_DATA}/composite/sobjects"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")

_TYPES = {
    **dict.fromkeys(("string", "textarea", "url", "email"), FieldType.TEXT),
    **dict.fromkeys(("int", "double", "currency", "percent", "long"), FieldType.NUMBER),
    **dict.fromkeys(("picklist", "multipicklist", "combobox"), FieldType.CHOICE),
    "boolean": FieldType.BOOLEAN,
    "date": FieldType.DATE,
    "datetime": FieldType.DATETIME,
}


class Salesforce(RecordConnector):
    """One Salesforce organization, with the client credentials of a connected app."""

    kind = "salesforce"
    label = "Salesforce"
    batch_size = 200
    dialect: ClassVar[Dialect] = SalesforceDialect()
    unique_setting = "external_id_field"
    settings = (
        Setting(
            "domain",
            "My Domain address",
            kind="url",
            help="The address of your organization, found in Setup under My Domain.",
            placeholder="https://acme.my.salesforce.com",
        ),
        Setting("client_id", "Consumer key", help="The consumer key of the connected app."),
        Setting(
            "client_secret",
            "Consumer secret",
            secret=True,
            help="The consumer secret of the connected app, with the client credentials flow "
            "turned on.",
        ),
        Setting(
            "external_id_field",
            "External ID field",
            required=False,
            help="The API name of a contact field that is an External ID and unique. Debrief "
            "writes its contact ID there, and finds contacts by it.",
            placeholder="Debrief_ID__c",
        ),
    )

    def __init__(self, account: Account, session: aiohttp.ClientSession) -> None:
        super().__init__(account, session)
        self.api = SalesforceApi(
            session,
            domain=account.config.get("domain", ""),
            key=account.config.get("client_id", ""),
            secret=account.secrets.get("client_secret", ""),
        )
        self.tasks = Tasks(self.api)

    @classmethod
    def check(
        cls,
        config: Mapping[str, str],
        secrets: Mapping[str, str],  # noqa: ARG003 (it has the signature of what it overrides)
    ) -> dict[str, str]:
        problems = {}
        if (domain := config.get("domain", "")) and not _is_domain(domain):
            problems["domain"] = (
                "My Domain address must be an address such as https://acme.my.salesforce.com, "
                f"not “{domain}”."
            )
        name = config.get("external_id_field", "").strip()
        if name and not _NAME.fullmatch(name):
            problems["external_id_field"] = (
                f"External ID field must be an API name such as Debrief_ID__c, not “{name}”."
            )
        return problems

    # Fields

    async def read_fields(self) -> list[RemoteField]:
        response = await self.api.request("GET", f"{_DATA}/sobjects/Contact/describe")
        return [_field(one) for one in response.data.get("fields") or []]

    async def test(self, mapped: Sequence[str]) -> Findings:
        fields = await self._known_fields(fresh=True)
        unique = [self.unique_field] if self.unique_field else []
        notes = [
            f"The run-as user doesn’t see the field “{name}”. Check that it exists, and the "
            "field-level security of the user."
            for name in [*mapped, *unique]
            if name not in fields
        ]
        notes += [
            f"The run-as user can’t edit {fields[name].label}: Salesforce would drop its values."
            for name in [*mapped, *unique]
            if name in fields and not fields[name].writable
        ]
        names = [name for name in mapped if name in fields] or ["Email", "LastName"]
        listed = ", ".join(dict.fromkeys(names))
        sample = None
        for record in await self.api.select(f"SELECT Id, {listed} FROM Contact LIMIT 1"):
            held = [(name, record.get(name)) for name in names]
            name, value = next((pair for pair in held if pair[1] is not None), held[0])
            label = fields[name].label if name in fields else name
            sample = (label, "" if value is None else str(value))
        host = urlsplit(self.api.domain).hostname or ""
        return Findings(host, tuple(fields.values()), sample, tuple(notes))

    # Lookup

    async def find(self, drafts: Sequence[Draft]) -> dict[int, Match]:
        known = await self._known_fields()
        lookup = Lookup(self.api, frozenset(known), self.unique_field)
        found = await lookup.by_unique(drafts)
        found |= await lookup.by_email([d for d in drafts if d.index not in found])
        return found | await lookup.by_phone([d for d in drafts if d.index not in found])

    # Writing

    async def update(self, drafts: Sequence[Draft], written: Written) -> None:
        records = [{"id": d.remote_id} | d.values for d in drafts]
        await self._write("PATCH", _COLLECTION, drafts, records, written)

    async def create(self, drafts: Sequence[Draft], written: Written) -> None:
        records = [d.values for d in drafts]
        if unique := self.unique_field:
            # Upserts by the contact's ID: sent twice, they create one record.
            records = [
                one | {unique: d.person.contact_id} for d, one in zip(drafts, records, strict=True)
            ]
            await self._write("PATCH", f"{_COLLECTION}/Contact/{unique}", drafts, records, written)
        else:
            await self._write("POST", _COLLECTION, drafts, records, written)

    def new_values(self, draft: Draft) -> dict[str, Any]:
        person = draft.person
        own = {
            "Email": person.email,
            "FirstName": person.first_name,
            "LastName": person.last_name,
        }
        known = {name: value for name, value in own.items() if value} | draft.values
        if not known.get("LastName"):
            raise Misfit("This contact has no last name, which Salesforce needs for a new contact.")
        return known

    async def _write(
        self,
        method: str,
        path: str,
        drafts: Sequence[Draft],
        records: Sequence[dict[str, Any]],
        written: Written,
    ) -> None:
        typed = [{"attributes": {"type": "Contact"}} | one for one in records]
        body = {"allOrNone": False, "records": typed}
        response = await self.api.request(method, path, body, about_content=(400, 404))
        if response.ok:
            self._read_results(response, drafts, records, written)
            return
        if len(drafts) == 1:
            written[drafts[0].index] = self._item_result(
                drafts[0], records[0], {"success": False, "errors": errors_of(response)}, response
            )
            return
        # An unknown field rejects the whole request: find the contacts that have it.
        middle = (len(drafts) + 1) // 2
        for part in (slice(None, middle), slice(middle, None)):
            await self._write(method, path, drafts[part], records[part], written)

    def _read_results(
        self,
        response: Response,
        drafts: Sequence[Draft],
        records: Sequence[dict[str, Any]],
        written: Written,
    ) -> None:
        """Take over the results, which come in the order of the request."""
        results = response.data
        if not isinstance(results, list) or len(results) != len(drafts):
            raise failure(response)
        for draft, record, result in zip(drafts, records, results, strict=True):
            written[draft.index] = self._item_result(draft, record, result, response)

    def _item_result(
        self, draft: Draft, sent: Any, result: Mapping[str, Any], response: Response
    ) -> ItemResult | None:
        """Return the result of an item; None where its record no longer exists."""
        errors = [one for one in result.get("errors") or [] if isinstance(one, dict)]
        found = codes(errors)
        if draft.remote_id and found & GONE:
            return None
        if found & ABOUT_FIELDS:
            self.forget_fields()
        verdict, wait = Verdict.OK, None
        if not result.get("success"):
            verdict = Verdict.RETRY if found & RETRIED else Verdict.PARKED
            wait = timedelta(seconds=10) if found & RETRIED else None
        return ItemResult(
            verdict,
            "" if verdict is Verdict.OK else words_of(errors),
            remote_id=str(result.get("id") or draft.remote_id),
            sent=as_text(sent),
            got=as_text(result),
            status=response.status,
            retry_after=wait,
            written=None if verdict is Verdict.OK else frozenset(),
        )

    # Activities

    async def log_for(self, remote_id: str, activity: Activity) -> ItemResult:
        return await self.tasks.log(activity, remote_id)


def _is_domain(address: str) -> bool:
    """Return whether this is an address of Salesforce, or one that tests may use.

    The consumer secret is sent there, so that no other host is taken.
    """
    parts = urlsplit(address)
    host = (parts.hostname or "").lower()
    if settings.WEBHOOK_ALLOW_PRIVATE_ADDRESSES and host in ("localhost", "127.0.0.1", "::1"):
        return parts.scheme in ("http", "https")
    official = host.endswith((".salesforce.com", ".salesforce.mil", ".sfcrmproducts.cn"))
    return parts.scheme == "https" and official and parts.path in ("", "/")


def _field(listed: Mapping[str, Any]) -> RemoteField:
    """Return a field of Salesforce's description."""
    kind = str(listed.get("type"))
    field_type = _TYPES.get(kind, FieldType.OTHER)
    options = [
        (str(one["value"]), str(one.get("label") or one["value"]))
        for one in listed.get("picklistValues") or []
        if one.get("active", True)
    ]
    is_choice = field_type is FieldType.CHOICE
    return RemoteField(
        name=str(listed["name"]),
        label=str(listed.get("label") or listed["name"]),
        type=field_type,
        writable=bool(listed.get("updateable")) and field_type is not FieldType.OTHER,
        vendor_type=kind,
        choices=tuple(value for value, _ in options) if is_choice else (),
        labels=tuple(label for _, label in options) if is_choice else (),
        max_length=int(listed.get("length") or 0) or None,
        several=kind == "multipicklist",
        restricted=bool(listed.get("restrictedPicklist")),
        whole=kind in ("int", "long"),
    )
