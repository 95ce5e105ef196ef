"""The list, one run, its banner, and what may be done to it."""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.accounts.actors import Actor
from apps.accounts.models import Role
from apps.agents.models import Agent
from apps.conversations.models import Conversation
from apps.llm.models import LanguageModel
from apps.privacy.erasure import erase
from apps.runs import control, services
from apps.runs.backfill_queue import BackfillQueue
from apps.runs.models import Run, State
from apps.runs.options import Options
from apps.runs.progress import progress_of
from tests.factories import make_agent, make_conversations

from .test_views import HTMX, as_role, html, text

pytestmark = pytest.mark.django_db

BY = Actor.system("tests")
Queries = Callable[[int], Any]


@pytest.fixture
def agent() -> Agent:
    return make_agent(name="Billing line")


@pytest.fixture
def client() -> Client:
    return as_role(Role.OPERATOR)


def a_run(agent: Agent, how_many: int = 6, *, filtered: bool = False) -> Run:
    make_conversations(agent, how_many)
    params = {"agent": [agent.public_id]} if filtered else {}
    return services.start(channel="voice", params=params, options=Options(), by=BY)


def finish(run: Run, **counts: int) -> None:
    """Bring items to an end as a runner would: ``changed=2, failed=1``."""
    waiting = list(run.items.filter(state="pending").values_list("pk", flat=True))
    ends: dict[str, dict[str, object]] = {
        "changed": {"state": "done", "changed": True},
        "unchanged": {"state": "done", "changed": False},
        "skipped": {"state": "skipped"},
        "failed": {"state": "failed", "error_code": "timeout", "error_message": "No answer."},
        "refused": {"state": "failed", "error_code": "refusal", "error_message": "I <b>won't</b>."},
    }
    for name, count in counts.items():
        taken, waiting = waiting[:count], waiting[count:]
        paid = {} if name == "skipped" else {"cost": Decimal("0.01"), "input_tokens": 100}
        run.items.filter(pk__in=taken).update(finished_at=timezone.now(), **ends[name], **paid)


def url(run: Run, what: str = "") -> str:
    return f"/backfills/{run.public_id}/{what}"


# The list


def test_an_empty_list_says_what_to_do(client: Client) -> None:
    said = text(client.get("/backfills/"))
    assert "No backfills yet" in said
    assert "Go to Calls" in said
    assert "New backfill" not in said


def test_a_line_tells_what_was_asked_and_how_far_it_is(client: Client, agent: Agent) -> None:
    run = a_run(agent, filtered=True)
    finish(run, changed=2, failed=1)
    said = text(client.get("/backfills/"))
    assert "Calls · Agent is Billing line" in said
    assert "3 of 6" in said
    assert "$0.03" in said


def test_the_list_polls_only_while_something_is_at_work(client: Client, agent: Agent) -> None:
    run = a_run(agent)
    assert "every 2s" in html(client.get("/backfills/", headers=HTMX))
    control.cancel(run=run, by=BY)
    fragment = client.get("/backfills/", headers=HTMX)
    assert "every 2s" not in html(fragment)
    assert "<html" not in html(fragment)


def test_a_broken_cursor_leads_to_the_beginning(client: Client) -> None:
    assert client.get("/backfills/?cursor=zzz").status_code == 302


def test_many_runs_come_in_pages_and_few_queries(
    client: Client, agent: Agent, django_assert_num_queries: Queries
) -> None:
    make_conversations(agent, 1)
    for _ in range(27):
        services.start(
            channel="voice", params={"agent": [agent.public_id]}, options=Options(), by=BY
        )
    with django_assert_num_queries(5):  # session, person, runs, counts, agents
        first = client.get("/backfills/")
    assert html(first).count("row-link") == 25
    following = re.search(r'rel="next" href="([^"]+)"', html(first))
    assert following
    second = client.get("/backfills/" + following[1].replace("&amp;", "&"))
    assert html(second).count("row-link") == 2
    assert 'rel="prev"' in html(second)


# One run


def test_the_page_tells_numbers_and_what_was_asked(client: Client, agent: Agent) -> None:
    run = a_run(agent, filtered=True)
    finish(run, changed=2, unchanged=1, failed=1)
    said = text(client.get(url(run)))
    assert "Backfill of 6 calls" in said
    assert "4 of 6 finished" in said
    assert "2 changed 1 unchanged 0 skipped 1 failed 2 left" in said
    assert "Agent is Billing line" in said
    assert "Billing line V0 draft" in said
    assert f"by {BY.label}" in said
    assert "$0.04 of" in said


def test_a_run_of_everything_says_so(client: Client, agent: Agent) -> None:
    assert "None (all calls at the time)" in text(client.get(url(a_run(agent))))


def test_no_such_run_is_missing(client: Client) -> None:
    for what in ("", "progress/", "cancel/"):
        assert client.get(f"/backfills/bf_nobody/{what}").status_code == 404
    for what in ("pause/", "resume/", "cancel/", "retry-failed/"):
        assert client.post(f"/backfills/bf_nobody/{what}").status_code == 404


def test_failures_stand_by_cause_with_an_example(client: Client, agent: Agent) -> None:
    run = a_run(agent, 8)
    finish(run, failed=2, refused=3)
    response = client.get(url(run))
    said = text(response)
    assert said.index("The model refused to respond") < said.index("The model timed out")
    assert "I &lt;b&gt;won&#x27;t&lt;/b&gt;." in html(response)
    assert f'href="{url(run)}?state=failed&amp;code=refusal#items-section"' in html(response)
    assert "Change the prompts or the model, then start a new backfill." in said
    assert "Retry 2 failed" in said, "a refusal would only be repeated"


@pytest.mark.parametrize(
    ("query", "count"),
    [("", 6), ("?state=changed", 2), ("?state=failed", 2), ("?state=failed&code=refusal", 1),
     ("?state=left", 1), ("?state=skipped", 0)],
)  # fmt: skip
def test_items_are_filtered(client: Client, agent: Agent, query: str, count: int) -> None:
    run = a_run(agent)
    finish(run, changed=2, unchanged=1, failed=1, refused=1)
    fragment = client.get(url(run) + query, headers=HTMX)
    assert html(fragment).count("row-link") == count
    assert "<html" not in html(fragment)


@pytest.mark.parametrize("query", ["?state=lost", "?code=bad_luck", "?cursor=zzz"])
def test_an_unknown_filter_of_items_shows_none(client: Client, agent: Agent, query: str) -> None:
    response = client.get(url(a_run(agent)) + query)
    assert response.status_code == 200
    assert "row-link" not in html(response)
    assert "Show all." in text(response)


def test_items_come_in_pages(client: Client, agent: Agent) -> None:
    run = a_run(agent, 60)
    first = client.get(url(run), headers=HTMX)
    assert html(first).count("row-link") == 50
    following = re.search(r'rel="next" href="([^"]+)"', html(first))
    assert following
    second = client.get(url(run) + following[1].replace("&amp;", "&"), headers=HTMX)
    assert html(second).count("row-link") == 10


def test_the_page_costs_a_fixed_number_of_queries(
    client: Client, agent: Agent, django_assert_num_queries: Queries
) -> None:
    run = a_run(agent, 30, filtered=True)
    finish(run, changed=9, failed=4, refused=2)
    # session, person, run, counts, items, failures and their examples, names of agents
    with django_assert_num_queries(8):
        client.get(url(run))
    with django_assert_num_queries(6):
        client.get(url(run, "progress/"), headers=HTMX)


# Progress


def test_progress_polls_while_active_and_then_stops(client: Client, agent: Agent) -> None:
    run = a_run(agent)
    BackfillQueue().claim(1)
    at_work = client.get(url(run, "progress/?seen=queued"), headers=HTMX)
    assert at_work.status_code == 200
    assert "every 1s" in html(at_work)
    assert 'id="run-buttons" hx-swap-oob="true"' in html(at_work)
    same = client.get(url(run, "progress/?seen=running"), headers=HTMX)
    assert "run-buttons" not in html(same)
    run.items.update(state="done", changed=True, finished_at=timezone.now())
    BackfillQueue().finished()
    last = client.get(url(run, "progress/?seen=running"), headers=HTMX)
    assert last.status_code == 286
    assert "every " not in html(last)
    assert "backfills:ended" in last["HX-Trigger"]


def test_the_title_shows_the_progress(client: Client, agent: Agent) -> None:
    run = a_run(agent, 4)
    finish(run, changed=1)
    assert "<title>25% · Backfill bf_" in html(client.get(url(run, "progress/"), headers=HTMX))


def test_progress_without_htmx_is_the_page(client: Client, agent: Agent) -> None:
    run = a_run(agent)
    assert client.get(url(run, "progress/"))["Location"] == url(run)


def test_a_pause_by_the_provider_says_why_and_what_helps(client: Client, agent: Agent) -> None:
    run = a_run(agent)
    Run.objects.filter(pk=run.pk).update(
        state=State.PAUSED, reason="auth", reason_detail="Incorrect API key <b>sk-…</b>"
    )
    response = client.get(url(run))
    assert "The provider rejected the API key" in text(response)
    assert "Replace the model’s API key, then resume." in text(response)
    assert "<b>sk-" not in html(response)


def test_a_rejected_api_key_leads_an_admin_to_the_model(client: Client, agent: Agent) -> None:
    run = a_run(agent)
    Run.objects.filter(pk=run.pk).update(state=State.PAUSED, reason="auth")
    model = LanguageModel.objects.get()
    page = reverse("admin:llm_languagemodel_change", args=[model.pk])
    assert f'href="{page}"' in html(as_role(Role.ADMIN).get(url(run)))
    for_operator = client.get(url(run))
    assert page not in html(for_operator)
    assert "An admin can replace the key." in text(for_operator)


# What may be done


@pytest.mark.parametrize("what", ["pause/", "resume/", "retry-failed/", "cancel/"])
def test_changes_need_an_operator_and_a_post(client: Client, agent: Agent, what: str) -> None:
    run = a_run(agent)
    assert as_role(Role.VIEWER).post(url(run, what)).status_code == 403
    assert Client().post(url(run, what)).status_code == 302
    if what != "cancel/":
        assert client.get(url(run, what)).status_code == 405
    run.refresh_from_db()
    assert run.state == State.QUEUED


def test_viewers_look_and_have_no_buttons(agent: Agent) -> None:
    run = a_run(agent)
    finish(run, failed=1)
    viewer = as_role(Role.VIEWER)
    for path in ("/backfills/", url(run), "/backfills/banner/"):
        response = viewer.get(path)
        assert response.status_code == 200
        assert "/pause/" not in html(response)
        assert "/retry-failed/" not in html(response)
        assert "/new/" not in html(response)


def test_pause_and_resume(client: Client, agent: Agent) -> None:
    run = a_run(agent)
    paused = client.post(url(run, "pause/"), headers=HTMX)
    assert paused.status_code == 204
    assert "backfills:changed" in paused["HX-Trigger"]
    run.refresh_from_db()
    assert (run.state, run.reason) == (State.PAUSED, "by_user")
    refused = client.post(url(run, "pause/"), headers=HTMX)
    assert refused.status_code == 409
    assert refused["Content-Type"].startswith("text/plain")
    assert text(refused) == "This backfill is paused: it can’t be paused."
    assert client.post(url(run, "resume/")).status_code == 302
    run.refresh_from_db()
    assert run.state == State.QUEUED


def test_cancel_asks_in_numbers_first(client: Client, agent: Agent) -> None:
    run = a_run(agent)
    finish(run, changed=2)
    asked = client.get(url(run, "cancel/"), headers=HTMX)
    assert "2 results kept" in text(asked)
    assert "4 queued will be skipped, not charged" in text(asked)
    assert "Cancel backfill" in text(asked)
    assert client.post(url(run, "cancel/"), headers=HTMX).status_code == 204
    run.refresh_from_db()
    assert run.state == State.CANCELLED
    assert text(client.get(url(run, "?state=skipped"))).count("The run was canceled") == 4


def test_retry_failed(client: Client, agent: Agent) -> None:
    run = a_run(agent)
    finish(run, changed=4, failed=2)
    BackfillQueue().finished()
    response = client.post(url(run, "retry-failed/"), headers=HTMX)
    assert "Retrying 2 calls." in response["HX-Trigger"]
    again = client.post(url(run, "retry-failed/"), follow=True)
    assert "This backfill has no failures to retry." in text(again)


# The banner


def test_the_banner_is_empty_and_listens_when_nothing_is_at_work(client: Client) -> None:
    response = client.get("/backfills/banner/")
    assert text(response) == ""
    assert "backfills:changed from:body" in html(response)
    assert "every" not in html(response)


def test_the_banner_of_a_run_at_work(
    client: Client, agent: Agent, django_assert_num_queries: Queries
) -> None:
    run = a_run(agent)
    finish(run, changed=2, failed=1)
    with django_assert_num_queries(4):  # session, person, runs, counts
        response = client.get("/backfills/banner/")
    assert "3 of 6" in text(response)
    assert "1 failed" in text(response)
    assert f"banner/?run={run.public_id}" in html(response)
    assert "every 2s" in html(response)
    assert url(run, "pause/") in html(response)


def test_the_banner_says_once_how_it_ended(client: Client, agent: Agent) -> None:
    run = a_run(agent)
    finish(run, changed=5, failed=1)
    BackfillQueue().finished()
    last = client.get(f"/backfills/banner/?run={run.public_id}")
    assert last.status_code == 286
    assert "Backfill completed with 1 failed" in text(last)
    assert "5 done" in text(last)
    assert text(client.get("/backfills/banner/")) == ""
    assert text(client.get("/backfills/banner/?run=bf_nobody")) == ""


def test_two_runs_at_work_share_the_banner(client: Client, agent: Agent) -> None:
    a_run(agent)
    newest = a_run(agent)
    said = client.get("/backfills/banner/")
    assert newest.public_id in html(said)
    assert "1 more" in text(said)


def test_erased_conversations_leave_the_page_and_its_counts_whole(
    client: Client, agent: Agent
) -> None:
    run = a_run(agent, 4)
    finish(run, changed=2, failed=1)
    before = progress_of(run)
    erase(conversations=Conversation.objects.all(), by=BY, why="asked for")
    page = client.get(url(run))
    assert page.status_code == 200
    assert text(page).count("Erased conversation") == 4
    after = progress_of(run)
    assert (after.done, after.failed, after.cost) == (before.done, before.failed, before.cost)
    assert (after.skipped, after.left) == (1, 0)  # what was not finished is not to be done
    with pytest.raises(control.UnableToChange):
        control.retry_failed(run=run, by=BY)


# A model that costs nothing


def test_a_free_run_says_so_once_and_shows_no_costs(client: Client, agent: Agent) -> None:
    run = a_run(agent)
    Run.objects.update(estimate={**run.estimate, "cost": "0"})
    finish(run, changed=2)
    run.items.update(cost=0)

    page, table = text(client.get(url(run))), html(client.get("/backfills/"))

    assert "$0.00" not in page + table
    assert re.search(r"Free\s+cost", page)
    assert ">Cost</th>" not in html(client.get(url(run))) + table


def test_a_free_run_that_was_paid_for_after_all_shows_what(client: Client, agent: Agent) -> None:
    run = a_run(agent)
    Run.objects.update(estimate={**run.estimate, "cost": "0"})
    finish(run, changed=2)

    page = html(client.get(url(run)))

    assert "$0.02" in page
    assert ">Cost</th>" in page
    assert ">Cost</th>" in html(client.get("/backfills/"))
