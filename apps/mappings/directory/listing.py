"""The list of contacts: pages, counts, the conversations of each, and the CSV."""

from collections.abc import Iterable, Iterator, Mapping

from django.db.models import Count, F, Max, Q
from django.db.models.expressions import OrderBy

from apps.agents.models import Channel
from apps.contacts.models import Contact
from apps.conversations.models import Conversation
from apps.core.pagination import Page, page
from apps.core.spreadsheets import csv_lines

from .columns import Column, Talk
from .filters import ContactSpec

PAGE = 50
CHUNK = 1_000


def page_of(spec: ContactSpec, cursor: str | None) -> Page[Contact]:
    """One page of the list. Raises CursorError."""
    return page(spec.queryset(), order=spec.sort.order, cursor=cursor, limit=PAGE)


def talks_of(contacts: Iterable[Contact]) -> Mapping[int, Talk]:
    """The conversations of these contacts, counted in one query."""
    rows = Conversation.objects.filter(contact__in=[contact.pk for contact in contacts]).order_by()
    counted = rows.values("contact_id").annotate(
        calls=Count("pk", filter=Q(channel=Channel.VOICE)),
        chats=Count("pk", filter=Q(channel=Channel.CHAT)),
        last=Max("sort_at"),
    )
    return {row["contact_id"]: Talk(row["calls"], row["chats"], row["last"]) for row in counted}


def csv_of(spec: ContactSpec) -> Iterator[str]:
    """Yield the lines of a CSV file of all contacts that match; the ID comes first."""
    columns = [column for column in spec.shown if column.name != "id"]
    return csv_lines(["id", *(column.name for column in columns)], _cells(spec, columns))


def _cells(spec: ContactSpec, columns: list[Column]) -> Iterator[list[object]]:
    (name,) = spec.sort.order
    ordered = OrderBy(F(name.removeprefix("-")), descending=name.startswith("-"), nulls_last=True)
    rows = spec.queryset().order_by(ordered, "pk").iterator(chunk_size=CHUNK)
    group: list[Contact] = []
    for contact in rows:
        group.append(contact)
        if len(group) == CHUNK:
            yield from _of_group(group, columns)
            group = []
    yield from _of_group(group, columns)


def _of_group(group: list[Contact], columns: list[Column]) -> Iterator[list[object]]:
    counted = any(column.name in {"conversations", "last_conversation"} for column in columns)
    talks = talks_of(group) if counted and group else {}
    for contact in group:
        talk = talks.get(contact.pk, Talk())
        yield [contact.public_id, *(column.read(contact, talk) for column in columns)]
