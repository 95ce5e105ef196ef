"""Lists of many conversations: two steps, counts that stop, and numbers found by an index."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts.actors import Actor
from apps.accounts.keys import create_api_key
from apps.accounts.models import Role
from apps.conversations import history_list
from apps.conversations.filters import parse
from apps.conversations.models import Conversation
from apps.core.counts import Count, count
from tests.factories import client_as, make_agent, make_conversation, make_conversations

pytestmark = pytest.mark.django_db


@pytest.fixture
def calls() -> list[Conversation]:
    """Seventy calls of falling length, of which sixty are unsuccessful."""
    made = make_conversations(make_agent(), 70, successful=False)
    now = timezone.now()
    for place, call in enumerate(made):
        call.sort_at, call.duration_ms = now - timedelta(hours=place), 100_000 - place
    Conversation.objects.bulk_update(made, ["sort_at", "duration_ms"])
    Conversation.objects.filter(pk__in=[call.pk for call in made[60:]]).update(successful=True)
    return made


@pytest.fixture
def key() -> dict[str, str]:
    _, secret = create_api_key(name="lists", role=Role.VIEWER, by=Actor.system("tests"))
    return {"Authorization": f"Bearer {secret}"}


def counts(**params: str) -> tuple[Count, Count]:
    spec = parse("voice", params)
    page = history_list.page_of(spec, history_list.columns_of(spec), None)
    return history_list.counts_beside(spec, page)


@pytest.mark.parametrize("sort", ["-duration_ms", "started_at", "agent", "-analysis_cost"])
def test_api_orders_as_the_page_and_reads_only_keys_to_do_so(
    calls: list[Conversation], key: dict[str, str], client: Client, sort: str
) -> None:
    spec = parse("voice", {"sort": sort})
    page = history_list.page_of(spec, history_list.columns_of(spec), None)
    with CaptureQueriesContext(connection) as queries:
        response = client.get(f"/api/conversations?channel=voice&sort={sort}", headers=key)
    assert [row["id"] for row in response.json()["items"]] == [c.public_id for c in page.items]
    ordered = [q["sql"] for q in queries if "ORDER BY" in q["sql"] and "LIMIT 51" in q["sql"]]
    assert ordered
    assert all("analysis_data" not in sql for sql in ordered)


def test_api_list_follows_cursors_and_counts(
    calls: list[Conversation], key: dict[str, str], client: Client
) -> None:
    path = "/api/conversations?channel=voice&sort=-duration_ms&limit=40&include_total=true"
    first = client.get(path, headers=key).json()
    rest = client.get(f"{path}&cursor={first['next_cursor']}", headers=key).json()
    assert first["total"] == rest["total"] == 70
    found = [row["id"] for row in [*first["items"], *rest["items"]]]
    assert found == [call.public_id for call in calls]


def test_a_list_of_one_page_is_not_counted_again(calls: list[Conversation]) -> None:
    spec = parse("voice", {"call_successful": "true"})
    page = history_list.page_of(spec, history_list.columns_of(spec), None)
    with CaptureQueriesContext(connection) as queries:
        found = history_list.counts_beside(spec, page)
    assert found == (Count(10, exact=True), Count(70, exact=True))
    assert len(queries) == 1  # all calls


def test_a_list_of_more_pages_is_counted(calls: list[Conversation]) -> None:
    assert counts(call_successful="false")[0] == Count(60, exact=True)


@override_settings(LIST_COUNT_SECONDS=0.02)
def test_a_count_that_takes_long_says_that_there_are_more(
    calls: list[Conversation], monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(rows: Any) -> Count:
        if "successful" in str(rows.query).partition(" WHERE ")[2]:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_sleep(60)")
        return count(rows)

    monkeypatch.setattr(history_list, "count", slow)
    found, everything = counts(call_successful="false")
    assert (str(found), str(everything)) == ("50+", "70")
    page = client_as("viewer").get("/calls/?call_successful=false").content.decode()
    assert "50+ of 70" in " ".join(page.split())
    assert "/filters/count/?channel=voice" in page  # the exact number follows


@contextmanager
def only_indexes() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE conversations_conversation")
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_bitmapscan = off")
        yield


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ({"from_number": "+15550100"}, "conv_from_number"),
        ({"to_number": ["+15550100", "+15550101"]}, "conv_to_number"),
        ({"from_number__startswith": "+1555"}, "conv_from_number"),
        ({"external_id": "x-1"}, "conversation_source_external_id_once"),
        ({"id": "conv_1"}, "conversation_public_id_once"),
    ],
)
def test_numbers_and_ids_are_found_by_an_index(query: dict[str, Any], index: str) -> None:
    make_conversations(make_agent(), 300)
    with only_indexes():
        assert index in parse("voice", query).queryset().order_by().explain()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"from_number": "+15550100"}, {"phone"}),
        ({"from_number": ["+15550100", "sip:Ann"]}, {"phone", "sip"}),
        ({"from_number": "sip:ann"}, set()),  # *is* means exactly that
        ({"from_number__startswith": "+1555"}, {"phone"}),
        ({"from_number__startswith": "SIP:"}, {"sip"}),
        ({"from_number__endswith": "0100"}, {"phone"}),
        ({"from_number__ne": "+15550100"}, {"sip", "none"}),
        ({"from_number__isset": "false"}, {"none"}),
    ],
)
def test_numbers_are_found_as_they_are_written(query: dict[str, Any], found: set[str]) -> None:
    agent = make_agent()
    for name, number in (("phone", "+15550100"), ("sip", "sip:Ann"), ("none", "")):
        make_conversation(agent, external_id=name, from_number=number)
    rows = parse("voice", query).queryset()
    assert set(rows.values_list("external_id", flat=True)) == found
