"""Find Salesforce records of contacts: by an External ID field, by email address, by phone."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from .phones import is_same_number, spellings
from .records import Draft, Match
from .salesforce_api import SalesforceApi

_PHONES: Final = ("Phone", "MobilePhone", "HomePhone", "OtherPhone")

Record = Mapping[str, Any]


class Lookup:
    """Lookups of one connection. ``known`` are the fields that the run-as user sees."""

    def __init__(self, api: SalesforceApi, known: frozenset[str], unique: str) -> None:
        self.api = api
        self.known = known
        self.unique = unique

    async def by_unique(self, drafts: Sequence[Draft]) -> dict[int, Match]:
        """Return the records that hold the contact's ID in the External ID field."""
        if not self.unique:
            return {}
        records = await self._records([self.unique], [d.person.contact_id for d in drafts])
        held = {str(one.get(self.unique)).lower(): str(one["Id"]) for one in records}
        return {
            draft.index: Match(record_id, by="contact ID")
            for draft in drafts
            if (record_id := held.get(draft.person.contact_id.lower()))
        }

    async def by_email(self, drafts: Sequence[Draft]) -> dict[int, Match]:
        """Return the records of email addresses, which aren't unique in Salesforce."""

        def is_match(draft: Draft, record: Record) -> bool:
            return str(record.get("Email") or "").lower() == draft.person.email.lower()

        asked = [draft for draft in drafts if draft.person.email]
        records = await self._records(["Email"], [draft.person.email for draft in asked])
        return self._matches(asked, records, is_match, "email address")

    async def by_phone(self, drafts: Sequence[Draft]) -> dict[int, Match]:
        """Return the records of phone numbers, in the spellings that are usual for a number."""

        def is_match(draft: Draft, record: Record) -> bool:
            stored = [str(record.get(name) or "") for name in _PHONES]
            return any(is_same_number(one, draft.person.phone_number) for one in stored)

        asked = [draft for draft in drafts if draft.person.phone_number]
        written = [one for draft in asked for one in spellings(draft.person.phone_number)]
        records = await self._records(_PHONES, written)
        return self._matches(asked, records, is_match, "phone number")

    async def _records(self, names: Sequence[str], values: Sequence[str]) -> list[Any]:
        searched = [name for name in names if name in self.known]
        if not searched or not values:
            return []
        shown = [name for name in ("Email", *_PHONES, self.unique) if name in self.known]
        return await self.api.select_in(
            f"SELECT Id, {', '.join(shown)} FROM Contact", searched, values
        )

    def _matches(
        self,
        drafts: Sequence[Draft],
        records: Sequence[Record],
        is_match: Callable[[Draft, Record], bool],
        by: str,
    ) -> dict[int, Match]:
        found = {}
        for draft in drafts:
            same = {str(one["Id"]): one for one in records if is_match(draft, one)}
            if len(same) == 1:
                [(record_id, record)] = same.items()
                empty = bool(self.unique) and not record.get(self.unique)
                extra = {self.unique: draft.person.contact_id} if empty else {}
                found[draft.index] = Match(record_id, extra, by=by)
            elif same:
                found[draft.index] = Match(candidates=len(same), by=by)
        return found
