"""One contact as its page shows it: values with their sources, and conversations."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.db.models import Count, Q, QuerySet

from apps.agents.models import Channel
from apps.contacts.models import Contact, ContactField
from apps.contacts.values import BUILT_IN_SPECS, BUILT_IN_TARGETS, Value, ValueSpec, show
from apps.conversations.filters import Field, field_named
from apps.conversations.history_list import with_columns
from apps.conversations.models import Conversation
from apps.core.pagination import Page, page
from apps.crm.models import Push, PushKind
from apps.mappings.marked_contacts import values_of, values_of_many
from apps.mappings.models import Contribution
from apps.mappings.reduction import FoldedValue

CONVERSATIONS = 20
HISTORY = 200
"""Contributions that the history of a field lists, the newest first."""
BUILT_IN_LABELS = {
    "first_name": "First name",
    "last_name": "Last name",
    "phone_number": "Phone number",
    "email": "Email",
}
_COLUMNS = ("started_at", "agent", "call_successful", "user_sentiment", "call_summary")


@dataclass(frozen=True, slots=True)
class FieldLine:
    """A field of a contact: its value, and the contributions that the value comes from."""

    name: str
    label: str
    spec: ValueSpec
    value: Value | None
    sources: tuple[Contribution, ...] = ()
    has_history: bool = False

    @property
    def shown(self) -> str:
        return show(self.spec, self.value)

    @property
    def source(self) -> Contribution | None:
        """The newest contribution that the value comes from."""
        return self.sources[-1] if self.sources else None

    @property
    def others(self) -> int:
        """How many more contributions are in it, where it was accumulated."""
        return max(0, len(self.sources) - 1)


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """A contribution to a field; ``is_current`` where the value comes from it."""

    contribution: Contribution
    shown: str
    is_current: bool


def pushes_of(contact: Contact) -> list[Push]:
    """Return the newest push of fields to each CRM connection."""
    rows = Push.objects.filter(contact=contact, kind=PushKind.FIELDS).select_related("connection")
    return list(
        rows.defer("request", "response").order_by("connection_id", "-pk").distinct("connection_id")
    )


def spec_of(name: str, custom: Iterable[ContactField]) -> tuple[str, ValueSpec] | None:
    """The label and the kind of a field of this name, built in or custom; None where none is."""
    if name in BUILT_IN_SPECS:
        return BUILT_IN_LABELS[name], BUILT_IN_SPECS[name]
    return next(((f.label, f.spec) for f in custom if f.name == name), None)


def value_in(contact: Contact, name: str) -> Value | None:
    """The current value of a field, built in or custom."""
    if name in BUILT_IN_LABELS:
        return getattr(contact, name) or None
    value: Value | None = contact.fields.get(name)
    return value


def lines_of(contact: Contact, custom: Sequence[ContactField]) -> list[FieldLine]:
    """The fields of a contact. Names and email are listed where something contributed to them."""
    return lines_of_many([contact], custom)[contact.pk]


def lines_of_many(
    contacts: Sequence[Contact], custom: Sequence[ContactField]
) -> dict[int, list[FieldLine]]:
    """The fields of some contacts, in the same few queries however many they are."""
    folded = values_of_many(contacts)
    keys = {key for values in folded.values() for v in values.values() for key in v.sources}
    known = {row.pk: row for row in _shown(Contribution.objects.filter(pk__in=keys))}
    specs = [(name, BUILT_IN_LABELS[name], BUILT_IN_SPECS[name]) for name in BUILT_IN_TARGETS]
    specs += [(field.name, field.label, field.spec) for field in custom]
    return {
        contact.pk: [
            line
            for name, label, spec in specs
            if (line := _line(contact, name, label, spec, folded[contact.pk], known)).sources
            or name not in BUILT_IN_TARGETS
        ]
        for contact in contacts
    }


def _line(  # noqa: PLR0917 (it is called once)
    contact: Contact,
    name: str,
    label: str,
    spec: ValueSpec,
    folded: Mapping[str, FoldedValue],
    known: Mapping[int, Contribution],
) -> FieldLine:
    sources = _sources(folded.get(name), known)
    return FieldLine(name, label, spec, value_in(contact, name), sources, name in folded)


def _sources(
    folded: FoldedValue | None, known: Mapping[int, Contribution]
) -> tuple[Contribution, ...]:
    return tuple(known[key] for key in folded.sources if key in known) if folded else ()


def history_of(contact: Contact, name: str, spec: ValueSpec) -> tuple[list[HistoryLine], int]:
    """Everything contributed to a field, the newest first, and how much of it there is."""
    folded = values_of(contact).get(name)
    current = set(folded.sources) if folded else set()
    rows = Contribution.objects.of_contact(contact).filter(field=name)
    newest = _shown(rows).order_by("-at", "-pk")[:HISTORY]
    lines = [
        HistoryLine(row, _shown_value(row, spec), row.pk in current and not row.problem)
        for row in newest
    ]
    return lines, rows.count()


def _shown_value(row: Contribution, spec: ValueSpec) -> str:
    """A contribution's value as people read it; one that doesn't fit as it arrived."""
    if row.problem or row.value is None:
        return "" if row.value is None else str(row.value)
    return show(spec, row.value)


def contributions_of(
    conversation: Conversation, custom: Sequence[ContactField]
) -> list[tuple[str, HistoryLine]]:
    """What one conversation says of its contact: (label, contribution)."""
    lines = []
    for row in Contribution.objects.filter(conversation=conversation).order_by("field"):
        if found := spec_of(row.field, custom):
            label, spec = found
            lines.append((label, HistoryLine(row, _shown_value(row, spec), is_current=False)))
    return lines


def _shown(rows: QuerySet[Contribution]) -> QuerySet[Contribution]:
    """Contributions with what pages show of their conversations."""
    return rows.select_related("conversation__agent").only(
        *(f.attname for f in Contribution._meta.concrete_fields),
        "conversation__public_id",
        "conversation__channel",
        "conversation__agent__name",
    )


def conversations_of(contact: Contact, cursor: str | None) -> Page[Conversation]:
    """A page of the conversations, the newest first. Raises CursorError."""
    rows = with_columns(Conversation.objects.filter(contact=contact), columns()).with_excerpt()
    return page(rows, order=["-sort_at"], cursor=cursor, limit=CONVERSATIONS)


def columns() -> list[Field]:
    """The columns of the conversations of a contact, which are calls and chats in one list."""
    found = (field_named(name, None) for name in _COLUMNS)
    return [field for field in found if field is not None]


def counts_of(contact: Contact) -> dict[str, int]:
    """How many calls and chats there were."""
    return Conversation.objects.filter(contact=contact).aggregate(
        calls=Count("pk", filter=Q(channel=Channel.VOICE)),
        chats=Count("pk", filter=Q(channel=Channel.CHAT)),
    )
