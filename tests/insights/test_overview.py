"""The dashboard: its tiles, controls, and filters; links, and query counts."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from apps.conversations.models import Conversation

# One worker loads the demo data once per module.
pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("demo"),
    pytest.mark.xdist_group("demo"),
]

NOW = datetime(2026, 3, 20, 10, tzinfo=UTC)
PERIOD = "from=2026-02-10&to=2026-03-20"
HTMX = {"HX-Request": "true"}


def _tiles(body: str) -> list[str]:
    return [unescape(url) for url in re.findall(r'class="tile-wait" hx-get="([^"]+)"', body)]


def test_overview_has_a_tile_per_field_and_each_loads(viewer_client: Client) -> None:
    body = viewer_client.get(f"/insights/?channel=voice&{PERIOD}").content.decode()
    urls = _tiles(body)
    assert len(urls) > 8
    for url in urls:
        tile = viewer_client.get(url, headers=HTMX)
        assert tile.status_code == 200
        assert b"<html" not in tile.content
        text = tile.content.decode()
        assert " of " in text
        assert ('class="mark small"' in text) == ("fewer than 20 conversations" in text)


def test_numbers_and_links_of_a_rate_equal_the_lists(viewer_client: Client) -> None:
    path = f"/insights/tile/?channel=voice&{PERIOD}&field=call_successful"
    body = viewer_client.get(path, headers=HTMX).content.decode()
    rows = Conversation.objects.filter(
        channel="voice",
        sort_at__gte=datetime(2026, 2, 10, tzinfo=UTC),
        sort_at__lt=datetime(2026, 3, 21, tzinfo=UTC),
    )
    counted = rows.filter(successful__isnull=False).count()
    assert f"{counted:,} of {rows.count():,}" in body
    link = unescape(re.findall(r'href="(/calls/\?[^"]*call_successful=true[^"]*)"', body)[0])
    listed = viewer_client.get(link).context["matching"].number
    assert f"n = {counted:,}".replace(" ", "") in re.sub(r"\s", "", body)
    assert round(100 * listed / counted) == int(re.findall(r">(\d+)%</a>", body)[0])


def test_whole_page_needs_no_further_request(viewer_client: Client) -> None:
    body = viewer_client.get(f"/insights/?channel=voice&{PERIOD}&whole=1").content.decode()
    assert not _tiles(body)
    assert body.count("<figure") > 8


def test_invalid_filter_is_shown_at_its_chip_and_nothing_else(viewer_client: Client) -> None:
    response = viewer_client.get("/insights/?duration_ms__gte=soon")
    body = response.content.decode()
    assert response.status_code == 200
    assert "chip bad" in body
    assert not _tiles(body)


@pytest.mark.parametrize("query", ["days=5", "from=2026-02-30", "clock=never", "by=nothing"])
def test_invalid_scope_says_why(viewer_client: Client, query: str) -> None:
    body = viewer_client.get(f"/insights/?{query}").content.decode()
    assert "callout bad" in body
    assert not _tiles(body)
    tile = viewer_client.get(f"/insights/tile/?{query}", headers=HTMX)
    assert tile.status_code == 200
    assert 'role="alert"' in tile.content.decode()


def test_unknown_field_is_not_found(viewer_client: Client) -> None:
    assert viewer_client.get("/insights/tile/?field=nonsense").status_code == 404


def test_filters_keep_period_and_channel(viewer_client: Client) -> None:
    query = f"channel=voice&{PERIOD}&call_successful=true"
    body = unescape(viewer_client.get(f"/insights/?{query}").content.decode())
    assert f"/insights/?channel=voice&{PERIOD}" in body
    edit = viewer_client.get(f"/insights/filter/?page=/insights/&edit=call_successful&{query}")
    assert 'name="from" value="2026-02-10"' in edit.content.decode()
    assert 'action="/insights/"' in edit.content.decode()
    rows = {"row-0-field": "duration_ms", "row-0-op": "gte", "row-0-value": "60"}
    redirect = viewer_client.get(f"/insights/?channel=voice&{PERIOD}", rows)
    moved = viewer_client.get("/insights/", {"channel": "voice", "days": "7", **rows})
    assert redirect.status_code in {200, 302}
    assert moved["Location"] == "/insights/?channel=voice&days=7&duration_ms__gte=60000"


def test_editor_leads_only_to_pages_of_insights(viewer_client: Client) -> None:
    body = viewer_client.get("/insights/filter/?page=https://evil.example/").content.decode()
    assert 'action="/insights/"' in body


def test_few_conversations_per_day_are_shown_by_weeks(viewer_client: Client) -> None:
    tile = viewer_client.get(f"/insights/tile/?channel=voice&{PERIOD}&field=call_successful")
    assert len(tile.context["tile"].stats.series) == 6
    ends = timezone.localdate(NOW - timedelta(days=6))
    week = viewer_client.get(f"/insights/tile/?channel=voice&from={ends}&to=2026-03-20")
    assert len(week.context["tile"].volume.series) == 7


def test_queries_do_not_grow_with_fields(
    viewer_client: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(7):
        viewer_client.get(f"/insights/?channel=voice&{PERIOD}")
    with django_assert_num_queries(12):
        viewer_client.get(
            f"/insights/tile/?channel=voice&{PERIOD}&field=call_successful", headers=HTMX
        )
