"""Find HubSpot records of contacts: by a unique property, by email address, by phone number."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from .exchange import Response
from .hubspot_errors import failure
from .phones import is_same_number, national_number
from .records import Match

Ask = Callable[[str, str, Any], Awaitable[Response]]

_CONTACTS: Final = "/crm/objects/2026-03/contacts"
_PAGE = 200
_PHONES: Final = ("phone", "mobilephone")


class Lookup:
    """Lookups of one connection. ``ask`` sends a request, ``unique`` is the unique property."""

    def __init__(self, ask: Ask, unique: str) -> None:
        self.ask = ask
        self.unique = unique

    async def by_unique(self, contact_ids: Mapping[int, str]) -> dict[int, Match]:
        """Return the records that hold the contact's ID in the unique property."""
        if not self.unique or not contact_ids:
            return {}
        records = await self._read(self.unique, contact_ids)
        return {
            index: Match(str(record["id"]), by="contact ID")
            for index, key in contact_ids.items()
            if (record := records.get(key.lower()))
        }

    async def by_email(
        self, emails: Mapping[int, str], contact_ids: Mapping[int, str]
    ) -> dict[int, Match]:
        """Return the records of email addresses: HubSpot has one for each, secondary ones too."""
        if not emails:
            return {}
        records = await self._read("email", emails)
        return {
            index: self._match(record, contact_ids[index], "email address")
            for index, key in emails.items()
            if (record := records.get(key.lower()))
        }

    async def by_phone(
        self, phones: Mapping[int, str], contact_ids: Mapping[int, str]
    ) -> dict[int, Match]:
        """Return the records of phone numbers. A search, whose index lags by some seconds."""
        if not phones:
            return {}
        records = await self._search(list(dict.fromkeys(phones.values())))
        found = {}
        for index, number in phones.items():
            same = [one for one in records if _has_number(one, number)]
            if len(same) == 1:
                found[index] = self._match(same[0], contact_ids[index], "phone number")
            elif same:
                found[index] = Match(candidates=len(same), by="phone number")
        return found

    async def _read(self, id_property: str, keys: Mapping[int, str]) -> dict[str, dict[str, Any]]:
        """Return records by their value of a unique property, in lower case.

        Unlike a search, a read returns records that were written a moment ago.
        """
        body = {
            "idProperty": id_property,
            "properties": sorted({id_property, "hs_additional_emails", self.unique} - {""}),
            "inputs": [{"id": key} for key in dict.fromkeys(keys.values())],
        }
        response = await self.ask("POST", f"{_CONTACTS}/batch/read", body)
        if not response.ok:
            raise failure(response)
        records: dict[str, dict[str, Any]] = {}
        for record in response.data.get("results") or []:
            held = record.get("properties") or {}
            values = [held.get(id_property)]
            if id_property == "email":
                values += str(held.get("hs_additional_emails") or "").split(";")
            records |= {str(value).lower(): record for value in values if value}
        return records

    async def _search(self, numbers: list[str]) -> list[dict[str, Any]]:
        national = list(dict.fromkeys(national_number(number) for number in numbers))
        filters = {
            "hs_searchable_calculated_phone_number": national,
            "hs_searchable_calculated_mobile_number": national,
            "phone": numbers,
            "mobilephone": numbers,
        }
        body: dict[str, Any] = {
            "filterGroups": [
                {"filters": [{"propertyName": name, "operator": "IN", "values": values}]}
                for name, values in filters.items()
            ],
            "properties": [*_PHONES, *([self.unique] if self.unique else [])],
            "limit": _PAGE,
        }
        records: list[dict[str, Any]] = []
        after = ""
        while True:
            page = body | ({"after": after} if after else {})
            response = await self.ask("POST", f"{_CONTACTS}/search", page)
            if not response.ok:
                raise failure(response)
            records += response.data.get("results") or []
            after = str(((response.data.get("paging") or {}).get("next") or {}).get("after", ""))
            if not after:
                return records

    def _match(self, record: Mapping[str, Any], contact_id: str, by: str) -> Match:
        """Return the match, with the contact's ID for the unique property where that is empty."""
        held = (record.get("properties") or {}).get(self.unique) if self.unique else ""
        extra = {self.unique: contact_id} if self.unique and not held else {}
        return Match(str(record["id"]), extra, by=by)


def _has_number(record: Mapping[str, Any], number: str) -> bool:
    held = record.get("properties") or {}
    return any(is_same_number(str(held.get(name) or ""), number) for name in _PHONES)
