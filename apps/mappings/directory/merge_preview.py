"""What a merge of two contacts would result in, and who could be the same person."""

from collections import defaultdict
from dataclasses import dataclass

from django.db.models import Count

from apps.contacts.models import Contact, ContactField
from apps.contacts.values import Value, show
from apps.conversations.models import Conversation
from apps.core import display
from apps.mappings.models import Contribution
from apps.mappings.reduction import Part, fold

from .filters import search
from .profile import BUILT_IN_LABELS, spec_of, value_in

CANDIDATES = 10


@dataclass(frozen=True, slots=True)
class MergeLine:
    """A field before and after: the value of either contact, and the result."""

    label: str
    kept: str
    other: str
    result: str


@dataclass(frozen=True, slots=True)
class MergePreview:
    """What results; ``aliases`` are the number and the email that the contact gets besides its
    own."""

    lines: list[MergeLine]
    aliases: list[str]
    kept_total: int
    other_total: int

    @property
    def total(self) -> int:
        return self.kept_total + self.other_total


def candidates(kept: Contact, text: str) -> list[tuple[Contact, int]]:
    """Other contacts that a search finds, else those of the same name, with their conversations."""
    if not text and not kept.name:
        return []
    found = Contact.objects.exclude(pk=kept.pk)
    found = found.filter(search(text)) if text else found.filter(name_key=kept.name.lower())
    rows = list(found.order_by("name_key", "pk")[:CANDIDATES])
    counted = Conversation.objects.filter(contact__in=[row.pk for row in rows]).order_by()
    totals = dict(counted.values_list("contact").annotate(n=Count("pk")))
    return [(row, totals.get(row.pk, 0)) for row in rows]


def preview(kept: Contact, other: Contact) -> MergePreview:
    """Work out the result of a merge without writing anything."""
    custom = list(ContactField.objects.all())
    results = _results(kept, other)
    lines = []
    for name in [*BUILT_IN_LABELS, *(field.name for field in custom)]:
        values = (value_in(kept, name), value_in(other, name))
        result = results.get(name, next((v for v in values if v is not None), None))
        if any(value is not None for value in (*values, result)):
            lines.append(_line(name, custom, *values, result))
    aliases = [
        getattr(other, name)
        for name in ("phone_number", "email")
        if getattr(other, name) and getattr(kept, name)
    ]
    totals = [Conversation.objects.filter(contact=c).count() for c in (kept, other)]
    return MergePreview(lines, aliases, *totals)


def _results(kept: Contact, other: Contact) -> dict[str, Value | None]:
    """The values that everything contributed to either contact amounts to."""
    parts: dict[str, list[Part]] = defaultdict(list)
    rows = [r for c in (kept, other) for r in Contribution.objects.of_contact(c)]
    for row in rows:
        parts[row.field].append(
            Part(row.pk, row.at, row.mode, row.value, row.conversation_id, row.problem)
        )
    return {
        name: fold(found, base=kept.provided.get(name) or other.provided.get(name)).value
        for name, found in parts.items()
        if name != "email"  # an identity: the contact keeps its own
    }


def _line(
    name: str,
    custom: list[ContactField],
    kept: Value | None,
    other: Value | None,
    result: Value | None,
) -> MergeLine:
    found = spec_of(name, custom)
    if found is None:  # the phone number, which nothing contributes to
        texts = (str(value or display.NOTHING) for value in (kept, other, result))
        return MergeLine(BUILT_IN_LABELS[name], *texts)
    label, spec = found
    return MergeLine(label, *(show(spec, value) for value in (kept, other, result)))
