"""Compute the values of marked contacts, and write those that changed."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.contacts.identifiers import holders_of
from apps.contacts.models import Contact, ContactAlias
from apps.contacts.values import BUILT_IN_TARGETS, Value
from apps.contacts.writes import write_values
from apps.crm import outbox
from apps.crm.outbox import ContactChange
from apps.crm.values import same

from . import marks, summary_requests
from .models import Contribution
from .reduction import FoldedValue, Part, fold
from .summary_requests import Summaries

BATCH = 500
"""Contacts per transaction."""

EMAIL_TAKEN = "Another contact has this email address."

Parts = dict[str, list[Part]]
"""Contributions by contact field."""


def refold(contact_ids: Iterable[int], *, wait: bool = False) -> int:
    """Fold these contacts now, in the caller's transaction or one of its own.

    A contact that another transaction holds stays marked for the sweep, or is waited for. Return
    the number of changed contacts.
    """
    wanted = sorted(set(contact_ids))
    changed = 0
    with transaction.atomic():
        marks.mark(wanted)
        for start in range(0, len(wanted), BATCH):
            changed += _fold_locked(marks.take(wanted[start : start + BATCH], wait=wait))
    return changed


def fold_marked(*, limit: int = BATCH) -> int:
    """Fold up to ``limit`` marked contacts in one transaction. Return their number."""
    with transaction.atomic():
        locked = marks.take_marked(limit)
        _fold_locked(locked)
    return len(locked)


def values_of(contact: Contact) -> dict[str, FoldedValue]:
    """Return the value of each field of a contact, with the contributions it comes from."""
    return values_of_many([contact])[contact.pk]


def values_of_many(contacts: Sequence[Contact]) -> dict[int, dict[str, FoldedValue]]:
    """Do as `values_of` for several contacts, in the same few queries."""
    pks = [contact.pk for contact in contacts]
    parts, summaries = _parts_of(pks), summary_requests.of_contacts(pks)
    return {
        contact.pk: _State.of(contact, parts[contact.pk]).folded(summaries) for contact in contacts
    }


def _fold_locked(pks: Sequence[int]) -> int:
    """Fold contacts that are locked. Return how many changed."""
    if not pks:
        return 0
    parts = _parts_of(pks)
    contacts = Contact.objects.filter(pk__in=pks).order_by("pk")
    states = [_State.of(contact, parts[contact.pk]) for contact in contacts]
    summaries = summary_requests.of_contacts(pks)
    for last in (False, True):
        _refuse_taken_emails(states)
        try:
            with transaction.atomic():
                return _write(states, summaries)
        except IntegrityError:
            # Another transaction took one of the emails just now: this time it is seen.
            if last:
                raise
    raise AssertionError("unreachable")


@dataclass(slots=True)
class _State:
    """A contact with its contributions by field."""

    contact: Contact
    parts: Parts
    provided: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, contact: Contact, parts: Parts) -> "_State":
        """Return the state, in which the first contribution to a name or email leaves the value
        before it as the one that was provided."""
        new = {
            name: getattr(contact, name) or ""
            for name in BUILT_IN_TARGETS
            if name in parts and name not in contact.provided
        }
        return cls(contact, parts, {**contact.provided, **new})

    def folded(self, summaries: Summaries) -> dict[str, FoldedValue]:
        """Return the folded value of each field that contributions or conversations set."""
        names = dict.fromkeys([*self.provided, *self.contact.fields, *self.parts])
        return {
            name: fold(
                self.parts.get(name, ()),
                base=self.provided.get(name),
                summary_of=summaries.reader(self.contact.pk, name),
            )
            for name in names
        }


def _parts_of(pks: Sequence[int]) -> dict[int, Parts]:
    """Return all contributions to these contacts, by contact and field."""
    found: dict[int, Parts] = defaultdict(lambda: defaultdict(list))
    columns = ("field", "pk", "at", "mode", "value", "conversation_id", "problem")
    of_conversations = Contribution.objects.filter(conversation__contact__in=pks)
    of_people = Contribution.objects.filter(contact__in=pks)
    for rows in (
        of_conversations.values_list("conversation__contact_id", *columns),
        of_people.values_list("contact_id", *columns),
    ):
        for contact_id, name, *values in rows:
            found[contact_id][name].append(Part(*values))
    return found


def _refuse_taken_emails(states: Sequence[_State]) -> None:
    """Skip emails that another contact has, and stop skipping those that are free again."""
    said = {
        str(part.value): None
        for state in states
        for part in state.parts.get("email", ())
        if part.value is not None
    }
    said |= {s.provided["email"]: None for s in states if s.provided.get("email")}
    if not said:
        return
    holders = dict(holders_of(emails=said).by_email)
    problems: dict[str, list[int]] = {"": [], EMAIL_TAKEN: []}
    for state in states:
        base = state.provided.get("email")
        if base and holders.get(base, state.contact.pk) != state.contact.pk:
            state.provided["email"] = ""
        for at, part in enumerate(state.parts.get("email", ())):
            if part.value is None:
                continue
            # The first contact of a batch that wants a free email has it.
            owner = holders.setdefault(str(part.value), state.contact.pk)
            problem = "" if owner == state.contact.pk else EMAIL_TAKEN
            if problem != part.problem:
                problems[problem].append(part.key)
                state.parts["email"][at] = replace(part, problem=problem)
    for problem, keys in problems.items():
        if keys:
            Contribution.objects.filter(pk__in=keys).update(problem=problem)


def _write(states: Sequence[_State], summaries: Summaries) -> int:
    """Write the contacts that changed, and everything that follows from it."""
    rows, changes, wanted = [], [], []
    aliases: list[ContactAlias] = []
    for state in states:
        folded = state.folded(summaries)
        wanted += [(state.contact.pk, name, value) for name, value in folded.items()]
        after = {n: v.value for n, v in folded.items() if v.value is not None}
        row, before = _row(state, after), state.contact.values
        change = _change(state, folded, before, {**_untouched(state, before), **after})
        if change.before or change.after or state.provided != state.contact.provided:
            rows.append(row)
        if change.before or change.after:
            changes.append(change)
            aliases += _former_email(state, row["email"])
    write_values(rows, timezone.now())
    ContactAlias.objects.bulk_create(aliases, ignore_conflicts=True)
    outbox.contacts_changed(changes)
    summary_requests.request(wanted, summaries)
    _mark_freed_emails(changes)
    return len(changes)


def _untouched(state: _State, before: dict[str, Value]) -> dict[str, Value]:
    """Return the names and the email that no contribution ever set: they stay as they are."""
    return {n: v for n, v in before.items() if n in BUILT_IN_TARGETS and n not in state.provided}


def _row(state: _State, after: dict[str, Value]) -> dict[str, Any]:
    contact = state.contact
    row: dict[str, Any] = {
        name: after.get(name, "") if name in state.provided else getattr(contact, name)
        for name in BUILT_IN_TARGETS
    }
    row["email"] = row["email"] or None
    custom = {name: value for name, value in after.items() if name not in BUILT_IN_TARGETS}
    return {**row, "id": contact.pk, "fields": custom, "provided": state.provided}


def _change(
    state: _State,
    folded: dict[str, FoldedValue],
    before: dict[str, Value],
    after: dict[str, Value],
) -> ContactChange:
    """Return the fields that differ, with the conversations that the new values come from."""
    names = [n for n in {**before, **after} if not same(before.get(n), after.get(n))]
    sources = {key for n in names if n in folded for key in folded[n].sources}
    conversations = {
        part.conversation_id
        for name in names
        for part in state.parts.get(name, ())
        if part.key in sources and part.conversation_id is not None
    }
    return ContactChange(
        contact_id=state.contact.pk,
        before={n: before[n] for n in names if n in before},
        after={n: after[n] for n in names if n in after},
        conversation_ids=tuple(sorted(conversations)),
    )


def _former_email(state: _State, email: str | None) -> Iterator[ContactAlias]:
    """Yield an alias for an email with which conversations arrive and that a mapping replaced."""
    former = state.contact.email
    if former and former != email and former == state.provided.get("email"):
        yield ContactAlias(contact=state.contact, email=former)


def _mark_freed_emails(changes: Sequence[ContactChange]) -> None:
    """Mark the contacts for which an email was skipped that no contact has any longer."""
    freed = [change.before["email"] for change in changes if "email" in change.before]
    if freed:
        skipped = Contribution.objects.filter(field="email", value__in=freed, problem=EMAIL_TAKEN)
        keys = skipped.values_list("conversation__contact", "contact")
        marks.mark({pk for pair in keys for pk in pair if pk})
