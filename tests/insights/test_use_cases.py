"""The ready views: which fields fill them, and that their numbers are counts of rows."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from html import unescape
from itertools import product

import pytest
from django.test import Client

from apps.accounts.models import Role, User
from apps.conversations.models import Conversation, ConversationQuerySet
from apps.insights.buckets import Size
from apps.insights.fields import FieldType, InsightField, Source
from apps.insights.use_case_pages import USE_CASES
from apps.insights.use_cases import SALES_SLOTS, checks_of, fill, values_of

from .generated import scope_of
from .plain_counts import check_view

# One worker loads the demo data once per module.
pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("demo"),
    pytest.mark.xdist_group("demo"),
]

NOW = datetime(2026, 3, 20, 10, tzinfo=UTC)
PERIOD = "from=2026-01-25&to=2026-03-20"
HTMX = {"HX-Request": "true"}
VIEWS = {"customer_success": "customer-success", "sales": "sales", "quality": "quality"}


def _rows(channel: str) -> ConversationQuerySet:
    start, end = datetime(2026, 1, 25, tzinfo=UTC), datetime(2026, 3, 21, tzinfo=UTC)
    return Conversation.objects.filter(channel=channel, sort_at__gte=start, sort_at__lt=end)


def _field(name: str, kind: FieldType, *choices: str) -> InsightField:
    return InsightField(name, name, kind, f"analysis.{name}", Source.RESULT, name, choices)


def test_slots_take_template_names_first_then_parts_then_nothing() -> None:
    fields = [
        _field("lead_temperature", FieldType.CHOICE),
        _field("lead_quality", FieldType.CHOICE),
        _field("budget_mentioned", FieldType.NUMBER),
        _field("who_decides", FieldType.BOOLEAN),
    ]
    filled = fill(SALES_SLOTS, {field.name: field for field in fields}, {})
    found = {name: one.field.name if one.field else None for name, one in filled.items()}
    assert found == {
        "lead_quality": "lead_quality",
        "decision_maker": "who_decides",
        "budget": None,
        "budget_range": "budget_mentioned",
        "next_step": None,
    }


def test_slot_takes_the_field_that_the_address_names() -> None:
    fields = {n: _field(n, FieldType.CHOICE) for n in ("lead_quality", "interest")}
    chosen = fill(SALES_SLOTS, fields, {"lead_quality": "interest"})["lead_quality"]
    assert chosen.field is fields["interest"]
    unknown = fill(SALES_SLOTS, fields, {"lead_quality": "nonsense"})["lead_quality"]
    assert unknown.field is fields["lead_quality"]


def test_checks_are_those_of_the_template_else_by_name() -> None:
    own = _field("id_verified", FieldType.BOOLEAN)
    template = _field("greeting_proper", FieldType.BOOLEAN)
    other = _field("wants_refund", FieldType.BOOLEAN)
    assert checks_of({f.name: f for f in (own, template, other)}) == [template]
    assert checks_of({f.name: f for f in (own, other)}) == [own]


def test_values_are_found_in_any_case() -> None:
    field = _field("lead", FieldType.CHOICE, "Hot", "Cold")
    assert values_of(field, ["HOT", "Hot"], frozenset({"hot"})) == ["Hot", "HOT"]


@pytest.mark.parametrize("view", VIEWS)
def test_panels_load_and_say_what_they_need(viewer_client: Client, view: str) -> None:
    body = viewer_client.get(f"/insights/{VIEWS[view]}/?{PERIOD}").content.decode()
    urls = [unescape(url) for url in re.findall(r'class="tile-wait" hx-get="([^"]+)"', body)]
    assert len(urls) == len(USE_CASES[view].panels)
    for url in urls:
        response = viewer_client.get(url, headers=HTMX)
        assert response.status_code == 200
        panel = response.content.decode()
        assert "n = " in panel or " of " in panel or "needs a" in panel or "<table" in panel
    whole = viewer_client.get(f"/insights/{VIEWS[view]}/?{PERIOD}&whole=1").content.decode()
    assert "tile-wait" not in whole


def test_resolution_and_follow_ups_equal_counts(viewer_client: Client) -> None:
    query = f"channel=chat&{PERIOD}"
    rows = _rows("chat")
    response = viewer_client.get(f"/insights/customer_success/resolution/?{query}", headers=HTMX)
    tile = response.context["panel"].tile
    name = tile.stats.field.path
    if tile.stats.field.is_column:
        yes, n = rows.filter(successful=True).count(), rows.exclude(successful=None).count()
    else:
        yes = rows.filter(**{f"analysis_data__{name}": True}).count()
        n = rows.filter(**{f"analysis_data__{name}__in": [True, False]}).count()
    assert (tile.stats.rate.yes, tile.stats.rate.n) == (yes, n)
    assert tile.stats.coverage.total == rows.count()
    left_out = sum(one.n for one in tile.stats.coverage.left_out)
    assert left_out + tile.stats.coverage.counted == rows.count()

    response = viewer_client.get(f"/insights/customer_success/queue/?{query}", headers=HTMX)
    panel = response.context["panel"]
    field = panel.filled.field
    assert panel.listed.count == rows.filter(**{f"analysis_data__{field.path}": True}).count()
    assert viewer_client.get(panel.listed.url).context["matching"].number == panel.listed.count


def test_leads_equal_counts_and_their_links(viewer_client: Client) -> None:
    rows = _rows("chat")
    query = f"channel=chat&{PERIOD}"
    response = viewer_client.get(f"/insights/sales/lead_quality/?{query}", headers=HTMX)
    tile = response.context["panel"].tile
    assert {s.value: s.rate.yes for s in tile.stats.shares} == {
        value: rows.filter(analysis_data__lead_quality=value).count()
        for value in ("hot", "warm", "cold", "unqualified")
    }
    qualified = rows.filter(analysis_data__lead_quality__in=["hot", "warm"]).count()
    assert tile.headline.rate.yes == qualified > 0
    assert viewer_client.get(tile.headline.url).context["matching"].number == qualified

    response = viewer_client.get(f"/insights/sales/hot_leads/?{query}", headers=HTMX)
    listed = response.context["panel"].listed
    assert listed.count == rows.filter(analysis_data__lead_quality="hot").count() > 0
    assert viewer_client.get(listed.url).context["matching"].number == listed.count


def test_panel_without_a_field_leads_editors_to_its_template(client: Client) -> None:
    client.force_login(User.objects.create_user("ed", role=Role.EDITOR))
    url = "/insights/quality/compliance/?channel=voice"
    body = client.get(url, headers=HTMX).content.decode()
    assert "compliance_issues" in body
    start = unescape(re.findall(r'href="(/agents/[^"]+/start/\?[^"]+)"', body)[0])
    assert "Quality assurance" in client.get(start).content.decode()
    url = "/insights/quality/score/?channel=voice"
    chosen = client.get(f"{url}&slot.score=amount_disputed", headers=HTMX)
    assert chosen.context["panel"].tile.stats.field.name == "amount_disputed"


def test_unknown_panel_is_not_found(viewer_client: Client) -> None:
    assert viewer_client.get("/insights/sales/nonsense/").status_code == 404
    assert viewer_client.get("/insights/nonsense/score/").status_code == 404


def test_invalid_filter_of_a_panel_says_so(viewer_client: Client) -> None:
    body = viewer_client.get("/insights/sales/budget/?duration_ms__gte=soon", headers=HTMX)
    assert "Fix the filters" in body.content.decode()


def test_every_number_of_the_ready_views_equals_a_count() -> None:
    checked = 0
    for view, channel in product(USE_CASES, ("voice", "chat")):
        scope = scope_of("from=2026-02-18&to=2026-03-20", now=NOW, channel=channel)
        checked += check_view(view, replace(scope, size=Size.WEEK))
    assert checked > len(USE_CASES) * 4
