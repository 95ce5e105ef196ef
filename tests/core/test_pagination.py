"""Every walk is compared with the plain sorted list; plans are read from PostgreSQL itself."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, models
from django.db.models.expressions import OrderBy
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.accounts.models import ApiKey, AuditEntry
from apps.core.pagination import Cursor, CursorError, page

pytestmark = pytest.mark.django_db

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)


def _keys(last_used: list[int | None]) -> None:
    """Keys whose nullable column has these values."""
    ApiKey.objects.all().delete()
    ApiKey.objects.bulk_create(
        ApiKey(
            name=f"k{number % 3}",
            prefix=f"p{number}",
            sha256="0" * 64,
            last_used_at=None if minutes is None else T0 + timedelta(minutes=minutes),
        )
        for number, minutes in enumerate(last_used)
    )


def _walk(order: list[str], limit: int) -> tuple[list[int], list[int]]:
    """All rows forwards, and then all rows backwards from the last page."""
    forwards: list[int] = []
    at = page(ApiKey.objects.all(), order=order, limit=limit)
    assert at.previous_cursor is None
    last = at
    while True:
        forwards += [key.pk for key in at.items]
        last = at
        if at.next_cursor is None:
            break
        at = page(ApiKey.objects.all(), order=order, cursor=at.next_cursor, limit=limit)
    backwards = [key.pk for key in last.items]
    while last.previous_cursor:
        last = page(ApiKey.objects.all(), order=order, cursor=last.previous_cursor, limit=limit)
        backwards = [key.pk for key in last.items] + backwards
    return forwards, backwards


def _expected(order: list[str]) -> list[int]:
    """Nulls last in either direction, the key in the direction of the column before it."""
    expressions: list[OrderBy | str] = []
    for entry in order:
        name = entry.removeprefix("-")
        field = models.F(name)
        down = entry.startswith("-")
        expressions.append(field.desc(nulls_last=True) if down else field.asc(nulls_last=True))
    expressions.append("-pk" if order and order[-1].startswith("-") else "pk")
    return list(ApiKey.objects.order_by(*expressions).values_list("pk", flat=True))


ORDERS = [
    [],
    ["last_used_at"],
    ["-last_used_at"],
    ["name"],
    ["-name"],
    ["-last_used_at", "name"],
    ["last_used_at", "name"],
    ["-last_used_at", "-name"],
    ["-name", "role"],
]


@settings(max_examples=25, deadline=None)
@given(
    last_used=st.lists(st.none() | st.integers(0, 5), max_size=12),
    order=st.sampled_from(ORDERS),
    limit=st.integers(1, 5),
)
def test_walks_meet_every_row_once_in_both_directions(
    last_used: list[int | None], order: list[str], limit: int
) -> None:
    _keys(last_used)

    forwards, backwards = _walk(order, limit)

    assert forwards == backwards == _expected(order)


def test_first_page_has_no_previous_and_last_has_no_next() -> None:
    _keys([1, 2, 3])

    first = page(ApiKey.objects.all(), order=["-last_used_at"], limit=2)
    second = page(ApiKey.objects.all(), order=["-last_used_at"], cursor=first.next_cursor, limit=2)

    assert (first.previous_cursor, second.next_cursor) == (None, None)
    assert second.previous_cursor is not None


def test_nothing_at_all() -> None:
    empty = page(ApiKey.objects.none(), order=["name"])

    assert (empty.items, empty.next_cursor, empty.previous_cursor) == ([], None, None)


def test_annotations_and_relations_serve_as_order() -> None:
    _keys([1, None, 2])
    rows = ApiKey.objects.annotate(length=models.functions.Length("name"))

    first = page(rows, order=["-length"], limit=2)
    second = page(rows, order=["-length"], cursor=first.next_cursor, limit=2)

    assert len({key.pk for key in [*first.items, *second.items]}) == 3


def test_a_nullable_second_column_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="last_used_at"):
        page(ApiKey.objects.all(), order=["name", "last_used_at"])


@pytest.mark.parametrize("cursor", ["x", "a.b", "'; drop table", "é", "\0", "." * 300])
def test_a_broken_cursor_is_refused_in_words(cursor: str) -> None:
    with pytest.raises(CursorError, match="Start again from the first page"):
        page(ApiKey.objects.all(), order=["name"], cursor=cursor)


def test_a_cursor_of_another_order_is_refused() -> None:
    _keys([1, 2])
    cursor = page(ApiKey.objects.all(), order=["name"], limit=1).next_cursor

    with pytest.raises(CursorError, match="different sort order"):
        page(ApiKey.objects.all(), order=["-name"], cursor=cursor)


def test_a_deep_page_is_found_in_the_index() -> None:
    AuditEntry.objects.bulk_create(
        AuditEntry(at=T0 + timedelta(seconds=n // 3), who="a", via="web", verb="x.y")
        for n in range(3000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE accounts_auditentry")
    row = AuditEntry.objects.order_by("at", "pk")[1000]
    deep = Cursor(("-at", "-id"), (row.at, row.pk), back=False).encode()

    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as queries:
        found = page(AuditEntry.objects.all(), order=["-at"], cursor=deep, limit=10)
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN (FORMAT JSON) " + queries[0]["sql"])
        plan = cursor.fetchone()[0][0]["Plan"]["Plans"][0]

    assert len(found.items) == 10
    assert found.items[0].at <= row.at
    assert plan["Node Type"] == "Index Scan"
    assert plan["Index Name"] == "audit_newest"
    assert "ROW(" in plan["Index Cond"]
