"""The report of a run on its page, and its rollback from there."""

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import Role
from apps.analysis.imports import Imported, record_imported
from apps.conversations.models import Conversation
from apps.runs import batches, services
from apps.runs.models import Run
from apps.runs.options import Options
from tests.factories import make_agent, make_conversations
from tests.runs.completed import BY, backfill
from tests.runs.test_views import HTMX, as_role, html, text

pytestmark = [pytest.mark.django_db(transaction=True)]


@pytest.fixture
def client() -> Client:
    return as_role(Role.OPERATOR)


def ended(count: int = 3) -> Run:
    """A completed backfill that made successful conversations unsuccessful; one had no result."""
    make_conversations(make_agent(), count)
    found = list(Conversation.objects.order_by("pk"))
    record_imported([Imported(one, {"call_successful": True}) for one in found[:-1]], by=BY)
    return backfill([{"call_successful": False}] * count)


def url(run: Run, name: str) -> str:
    return reverse(f"runs:{name}", args=[run.public_id])


def test_the_page_asks_for_its_report(client: Client) -> None:
    run = ended()
    page = html(client.get(url(run, "detail")))
    assert f'hx-get="{url(run, "report")}"' in page
    assert "Roll back" in page


def test_the_report_links_each_count_to_its_conversations(client: Client) -> None:
    run = ended()

    answer = client.get(url(run, "report"), headers=HTMX)
    report = html(answer)

    assert "call_successful" in report
    assert (
        "true → false" in text(answer) or "yes → no" in text(answer) or "yes → no" in text(answer)
    )
    links = re.findall(r'href="(/backfills/[^"]+\?changed=[^"]+)"', report)
    assert links
    for link in links:
        page = html(client.get(link.replace("&amp;", "&").partition("#")[0]))
        assert "row-link" in page
    both = f"{url(run, 'detail')}?changed=call_successful&from=true&to=false"
    items = html(client.get(both, headers=HTMX))
    assert items.count("row-link") == 2
    assert "Roll back these" in items
    assert html(client.get(url(run, "report"))).count("<h1") == 1


def test_a_contradictory_address_says_so(client: Client) -> None:
    run = ended()
    page = html(client.get(f"{url(run, 'detail')}?from=true", headers=HTMX))
    assert "from and to need one of" in page


def test_a_run_without_results_has_an_empty_report(client: Client) -> None:
    run = ended()
    run.items.update(state="skipped", analysis=None, previous_analysis=None)
    report = html(client.get(url(run, "report"), headers=HTMX))
    assert "No results yet" in report
    assert "every 5s" not in report


def test_a_report_asks_again_until_there_are_results(client: Client) -> None:
    run = ended()
    run.items.update(state="pending", analysis=None, finished_at=None)
    Run.objects.update(state="running", finished_at=None)
    assert "every 5s" in html(client.get(url(run, "report"), headers=HTMX))
    assert "every 5s" in html(client.get(url(run, "detail"))).partition('id="report"')[2]


def test_the_dialog_shows_the_numbers_and_starts_once(client: Client) -> None:
    run = ended(4)
    newer = Conversation.objects.earliest("pk")
    record_imported([Imported(newer, {"call_successful": True})], by=BY)

    opened = client.get(url(run, "rollback"), headers=HTMX)

    dialog, said = html(opened), text(opened)
    assert "3 calls previous result restored" in said
    assert "1 of them had no result before and will have none" in said
    assert "1 left alone analyzed again since" in said
    assert 'name="contacts"' in dialog
    assert 'name="webhooks"' in dialog
    token = re.search(r'name="token" value="([^"]+)"', dialog)
    assert token
    answers = [
        client.post(url(run, "rollback"), {"token": token[1], "contacts": "off"}, headers=HTMX)
        for _ in range(2)
    ]
    assert "Rollback started." in answers[0].headers["HX-Trigger"]
    assert "already started" in answers[1].headers["HX-Trigger"]
    undone = Run.objects.get(kind="rollback")
    assert undone.options["side_effects"] == {"contacts": False, "webhooks": "off"}
    batches.run_batches(seconds=600)

    shown = client.get(url(undone, "detail"))
    page = html(shown)
    assert "Rollback of 4 calls" in text(shown)
    assert "Restored" in page
    assert "Left alone" in page
    assert "Tokens" not in page
    left = html(client.get(f"{url(undone, 'detail')}?state=left_alone", headers=HTMX))
    assert "Analyzed again since" in left
    listed = html(client.get(reverse("runs:list")))
    assert "Rollback" in listed


def test_an_outdated_or_odd_dialog_starts_nothing(client: Client) -> None:
    run = ended()
    here = url(run, "rollback")
    for data, words in (
        ({"token": ""}, "Review the numbers"),
        ({"token": "made up"}, "expired"),
        ({"token": "x", "webhooks": "some"}, "Webhooks must be off"),
        ({"token": "x", "nonsense": "1"}, "nonsense"),
    ):
        answer = client.post(here, data, headers=HTMX)
        assert answer.status_code == 200
        assert words in html(answer)
    assert not Run.objects.filter(kind="rollback").exists()


def test_an_active_run_is_not_rolled_back(client: Client) -> None:
    make_conversations(make_agent(), 2)
    run = services.start(channel="voice", params={}, options=Options(), by=BY)
    assert "still active" in html(client.get(url(run, "rollback"), headers=HTMX))
    assert "Roll back" not in html(client.get(url(run, "detail")))


def test_the_banner_names_a_rollback(client: Client) -> None:
    run = ended()
    client.post(url(run, "rollback"), {"token": token_of(client, run)}, headers=HTMX)
    assert "Rolling back" in html(client.get(reverse("runs:banner")))
    undone = Run.objects.get(kind="rollback")
    paused = client.post(url(undone, "pause"), headers=HTMX)
    assert "Rollback paused." in paused.headers["HX-Trigger"]


def token_of(client: Client, run: Run) -> str:
    dialog = html(client.get(url(run, "rollback"), headers=HTMX))
    found = re.search(r'name="token" value="([^"]+)"', dialog)
    assert found
    return found[1]


def test_a_viewer_sees_the_report_and_no_button() -> None:
    run = ended()
    viewer = as_role(Role.VIEWER)
    assert viewer.get(url(run, "report"), headers=HTMX).status_code == 200
    assert viewer.get(url(run, "rollback")).status_code == 403
    assert "run-rollback" not in html(viewer.get(url(run, "detail")))


def test_conversation_pages_after_a_rollback(client: Client) -> None:
    run = ended(2)
    client.post(url(run, "rollback"), {"token": token_of(client, run)}, headers=HTMX)
    batches.run_batches(seconds=600)
    for conversation in Conversation.objects.all():
        page = client.get(reverse("analysis:conversation", args=[conversation.public_id]))
        assert page.status_code == 200
        if conversation.analysis_state == "none":
            assert "analyzed yet" in html(page)


def test_the_report_costs_a_fixed_number_of_queries(
    client: Client, django_assert_max_num_queries: Any
) -> None:
    run = ended(5)
    client.get(url(run, "report"), headers=HTMX)
    with django_assert_max_num_queries(14):
        client.get(url(run, "report"), headers=HTMX)


def test_conversations_of_a_report_lead_to_the_next_under_its_filter(client: Client) -> None:
    run = ended()
    report = html(client.get(url(run, "report"), headers=HTMX))
    example = re.search(r'href="(/conversations/[^"]+\?from=run[^"]+)"', report)
    assert example
    items = client.get(f"{url(run, 'detail')}?changed=call_successful&from=true&to=false")
    shown = [item.conversation.public_id for item in items.context["items"].items]
    assert len(shown) == 2
    links = re.findall(r'href="(/conversations/[^"]+\?from=[^"]+)"', html(items))

    page = html(client.get(links[0].replace("&amp;", "&")))
    asked = re.search(r'hx-get="(/backfills/[^"]+/neighbors/[^"]+)"', page)
    assert asked
    assert f'href="{url(run, "detail")}?run=' in page
    beside = html(client.get(asked[1].replace("&amp;", "&"), headers=HTMX))

    assert re.findall(r'rel="(\w+)"', beside) == ["next"]
    assert f"/conversations/{shown[1]}/?from=run" in beside
    assert client.get(f"/conversations/{shown[0]}/?from=run%3D..%2F..").status_code == 200


def test_the_report_compares_the_estimate_with_what_was_used(client: Client) -> None:
    run = ended()
    lines = {line.label: line for line in client.get(url(run, "report")).context["accuracy"]}

    assert set(lines) == {"Cost", "Tokens in", "Tokens out", "Time"}
    run.refresh_from_db()
    assert lines["Tokens in"].estimated == f"{run.estimate['input_tokens']:,}"


def test_the_dialog_counts_and_restores_what_its_filters_match(client: Client) -> None:
    run = ended(4)
    here = url(run, "rollback")
    one = Conversation.objects.earliest("pk")
    asked = {"id": one.public_id}

    shown = client.post(here, {**asked, "preview": "1"}, headers=HTMX)
    assert "Roll back 1 call" in text(shown)
    token = re.search(r'name="token" value="([^"]+)"', html(shown))
    assert token
    wrong = client.post(here, {"duration_ms__gte": "soon", "preview": "1"}, headers=HTMX)
    assert "Fix the filter to see the numbers." in text(wrong)
    whole = client.post(here, {"token": token[1]}, headers=HTMX)
    assert "The filters changed after this preview." in text(whole)
    without_script = client.post(here, {"changed": "call_successful", "remove": "changed"})
    assert 'name="changed"' not in html(without_script)
    assert not Run.objects.filter(kind="rollback").exists()

    client.post(here, {**asked, "token": token[1]})
    undone = Run.objects.get(kind="rollback")
    assert [item.conversation_id for item in undone.items.all()] == [one.pk]


def test_the_dialog_keeps_the_filter_of_a_report(client: Client) -> None:
    run = ended(4)
    opened = client.get(
        f"{url(run, 'rollback')}?changed=call_successful&from=true&to=false", headers=HTMX
    )
    assert "call_successful changed: " in text(opened)
    assert 'name="from" value="true"' in " ".join(html(opened).split())
    odd = client.get(f"{url(run, 'rollback')}?from=true", headers=HTMX)
    assert "from and to need one of changed" in text(odd)
