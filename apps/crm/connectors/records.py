"""Write contacts to the records of a CRM: find, update, create, and report on each.

The steps are the same for each vendor: values are converted, records without a known ID are looked
up, found ones are updated, and missing ones are created where the connection allows it.
"""

import time
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from .base import (
    Account,
    Activity,
    Connector,
    ConnectorError,
    ItemResult,
    Person,
    RemoteField,
    Verdict,
    WantedChange,
)
from .values import Dialect, Misfit

FIELD_LIST_SECONDS = 900.0
"""How long the field list is used before it is read again."""


@dataclass(slots=True)
class Draft:
    """One contact on its way: ``values`` as the request holds them, ``problems`` of the others."""

    index: int
    change: WantedChange
    values: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    remote_id: str = ""

    @property
    def person(self) -> Person:
        return self.change.person


@dataclass(frozen=True, slots=True)
class Match:
    """What a lookup found for a contact.

    ``extra`` are values to write along, such as the contact's ID in an empty unique field.
    ``candidates`` is how many records have the contact's email address or phone number.
    """

    remote_id: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)
    candidates: int = 1
    by: str = ""


#: The result of each draft of a request; None where its record no longer exists.
Written = dict[int, ItemResult | None]


class RecordConnector(Connector):
    """A connector of a CRM that has contact records with fields."""

    dialect: ClassVar[Dialect]
    #: The name of the setting that holds the unique field for the contact's ID in Debrief.
    unique_setting: ClassVar[str]

    def __init__(self, account: Account, session: Any) -> None:
        super().__init__(account, session)
        self.now: Callable[[], float] = time.monotonic
        self._fields: dict[str, RemoteField] = {}
        self._fields_until = 0.0

    @property
    def unique_field(self) -> str:
        """Return the configured unique field, empty for none."""
        return self.account.config.get(self.unique_setting, "").strip()

    # For the vendor

    @abstractmethod
    async def read_fields(self) -> list[RemoteField]:
        """Read the field list. Raises ConnectorError."""

    @abstractmethod
    async def find(self, drafts: Sequence[Draft]) -> dict[int, Match]:
        """Look up the records of contacts, by their index. Raises ConnectorError."""

    @abstractmethod
    async def update(self, drafts: Sequence[Draft], written: Written) -> None:
        """Write values to records by their IDs, no record twice. Raises ConnectorError.

        Fills in ``written`` as results become known, so that an error in the middle loses none.
        """

    @abstractmethod
    async def create(self, drafts: Sequence[Draft], written: Written) -> None:
        """Create records. Raises ConnectorError. Fills in ``written`` like `update`."""

    @abstractmethod
    def new_values(self, draft: Draft) -> dict[str, Any]:
        """Return the values of a new record, with names and email. Raises Misfit."""

    @abstractmethod
    async def log_for(self, remote_id: str, activity: Activity) -> ItemResult:
        """Log a conversation with the contact that has this ID, or update it."""

    # Of every vendor

    async def fields(self) -> list[RemoteField]:
        return list((await self._known_fields(fresh=True)).values())

    async def push(self, changes: Sequence[WantedChange]) -> list[ItemResult]:
        results: dict[int, ItemResult] = {}
        try:
            await self._push(changes, results)
        except ConnectorError as error:
            error.results = results | error.results
            raise
        return [results[index] for index in range(len(changes))]

    async def _push(self, changes: Sequence[WantedChange], results: dict[int, ItemResult]) -> None:
        fields = await self._known_fields()
        drafts = []
        for index, change in enumerate(changes):
            draft = self._draft(index, change, fields)
            if draft.values or not change.wanted:
                drafts.append(draft)
            else:
                results[index] = _parked(draft, " ".join(draft.problems))
        gone = await self._update([d for d in drafts if d.remote_id], results)
        for draft in gone:
            draft.remote_id = ""
        missing = await self._find_and_update([d for d in drafts if not d.remote_id], results)
        if self.account.create_missing:
            await self._create(missing, results)
        else:
            for draft in missing:
                results[draft.index] = _parked(draft, self._missing_words())

    async def log_activity(self, activity: Activity) -> ItemResult:
        remote_id = activity.remote_id or await self._record_of(activity.person)
        if not remote_id:
            return ItemResult(Verdict.PARKED, self._missing_words())
        return await self.log_for(remote_id, activity)

    async def _record_of(self, person: Person) -> str:
        """Return the ID of a contact's record; empty where there is none, or more than one."""
        change = WantedChange(person, {}, {}, {}, "", (), "")
        match = (await self.find([Draft(0, change)])).get(0)
        return match.remote_id if match else ""

    def _draft(self, index: int, change: WantedChange, fields: Mapping[str, RemoteField]) -> Draft:
        draft = Draft(index, change, remote_id=change.remote_id)
        for name, value in change.wanted.items():
            remote = fields.get(name)
            if remote is None:
                draft.problems.append(f"{self.label} has no field “{name}”.")
                continue
            try:
                draft.values[name] = self.dialect.written(value, change.types[name], remote)
            except Misfit as problem:
                draft.problems.append(str(problem))
        return draft

    async def _find_and_update(
        self, drafts: Sequence[Draft], results: dict[int, ItemResult]
    ) -> list[Draft]:
        """Look up contacts and update their records; return those that have none."""
        if not drafts:
            return []
        matches = await self.find(drafts)
        for draft in drafts:
            match = matches.get(draft.index)
            if match is None:
                continue
            if match.candidates > 1:
                results[draft.index] = _parked(draft, self._ambiguous_words(match))
                continue
            draft.remote_id = match.remote_id
            draft.values.update(match.extra)
        found = [d for d in drafts if d.remote_id]
        gone = {d.index for d in await self._update(found, results)}
        return [d for d in drafts if d.index in gone or d.index not in {*results, *_ids(found)}]

    async def _update(self, drafts: Sequence[Draft], results: dict[int, ItemResult]) -> list[Draft]:
        """Update records by their IDs; return the drafts whose records no longer exist."""
        gone = []
        for group in _without_repeats(drafts):
            written: Written = {}
            try:
                await self.update(group, written)
            finally:
                gone += self._collect(group, written, results)
        return gone

    async def _create(self, drafts: Sequence[Draft], results: dict[int, ItemResult]) -> None:
        ready = []
        for draft in drafts:
            try:
                draft.values = self.new_values(draft)
            except Misfit as problem:
                results[draft.index] = _parked(draft, str(problem))
            else:
                ready.append(draft)
        written: Written = {}
        try:
            if ready:
                await self.create(ready, written)
        finally:
            self._collect(ready, written, results)

    def _collect(
        self, drafts: Sequence[Draft], written: Written, results: dict[int, ItemResult]
    ) -> list[Draft]:
        """Take over results; return the drafts whose records no longer exist."""
        gone = []
        for draft in drafts:
            if draft.index not in written:
                continue
            result = written[draft.index]
            if result is None:
                gone.append(draft)
                continue
            if result.verdict is Verdict.OK and draft.problems:
                # The fields that fit are written; the person sees what didn't.
                names = frozenset(draft.values) & frozenset(draft.change.wanted)
                words = " ".join(draft.problems)
                result = replace(result, verdict=Verdict.PARKED, words=words, written=names)
            results[draft.index] = result
        return gone

    async def _known_fields(self, *, fresh: bool = False) -> dict[str, RemoteField]:
        if fresh or self.now() >= self._fields_until:
            self._fields = {one.name: one for one in await self.read_fields()}
            self._fields_until = self.now() + FIELD_LIST_SECONDS
        return self._fields

    def forget_fields(self) -> None:
        """Read the field list again before the next push: the vendor rejected a value."""
        self._fields_until = 0.0

    def _missing_words(self) -> str:
        return (
            f"{self.label} has no contact with this email address or phone number. Add it in "
            f"{self.label}, or let the connection create missing contacts."
        )

    def _ambiguous_words(self, match: Match) -> str:
        return (
            f"{match.candidates} {self.label} contacts have this {match.by}. Merge them in "
            f"{self.label}, then send again."
        )


def _parked(draft: Draft, words: str) -> ItemResult:
    """Return the result of a contact for which nothing was sent."""
    return ItemResult(Verdict.PARKED, words, remote_id=draft.remote_id, written=frozenset())


def _ids(drafts: Sequence[Draft]) -> set[int]:
    return {draft.index for draft in drafts}


def _without_repeats(drafts: Sequence[Draft]) -> list[list[Draft]]:
    """Return groups in which no record comes twice: a vendor rejects such a request."""
    groups: list[dict[str, Draft]] = []
    for draft in drafts:
        for group in groups:
            if draft.remote_id not in group:
                group[draft.remote_id] = draft
                break
        else:
            groups.append({draft.remote_id: draft})
    return [list(group.values()) for group in groups]
