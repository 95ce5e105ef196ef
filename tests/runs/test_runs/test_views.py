"""Try it as pages: the tab, the dialog of a backfill, the trial and its progress."""

import re
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from apps.accounts.actors import Actor
from apps.accounts.models import Role, User
from apps.agents.models import Agent
from apps.agents.services import save_draft
from apps.analysis.imports import Imported, record_imported
from apps.analysis.models import Analysis
from apps.runs.models import ItemState, Run
from apps.runs.test_runs import comparison
from tests.factories import (
    edit_prompt,
    make_agent,
    make_conversation,
    make_conversations,
    make_model,
)

from .factories import ADA, start_trial

pytestmark = [pytest.mark.django_db]
HTMX = {"HX-Request": "true"}
OUTPUT = {"call_summary": "Short.", "call_successful": True, "user_sentiment": "Positive"}


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django.conf.settings.OPENAI_API_KEY", "k", raising=False)


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(User.objects.create_user("ada", first_name="Ada", role=Role.OPERATOR))
    return client


@pytest.fixture
def editor(client: Client) -> Client:
    client.force_login(User.objects.create_user("eve", role=Role.EDITOR))
    return client


@pytest.fixture
def viewer(client: Client) -> Client:
    client.force_login(User.objects.create_user("vic", role=Role.VIEWER))
    return client


def tab(agent: Agent) -> str:
    return reverse("runs:try_it", args=[agent.public_id])


def page_of(trial: Run, name: str = "trial", *args: Any) -> str:
    return reverse(f"runs:{name}", args=[trial.public_id, *args])


def token_in(html: str) -> str:
    found = re.search(r'name="token" value="([^"]+)"', html)
    assert found
    return found[1]


def finish(trial: Run, **values: Any) -> None:
    """As a runner would: all that waits succeeded with this output."""
    defaults = {
        "state": ItemState.DONE,
        "output": OUTPUT,
        "finished_at": timezone.now(),
        "input_tokens": 1_000,
        "output_tokens": 50,
        "cost": Decimal("0.0005"),
        "latency_ms": 1_400,
    }
    trial.items.filter(state=ItemState.PENDING).update(**(defaults | values))


# The tab


def test_the_tab_tells_what_would_be_read_and_the_price(operator: Client) -> None:
    agent = make_agent(name="Billing line")
    make_conversations(agent, 7, summary="Charged twice.")
    html = operator.get(tab(agent)).content.decode()
    assert 'aria-current="page">Test</a>' in html
    assert "Unsaved edits aren’t included" in html
    assert "charged, even for models that were free on the first run" in html
    assert re.search(r"Run on 5 · \$0\.\d+", html)
    assert html.count("Charged twice.") == 5
    assert token_in(html)


def test_the_tab_runs_what_it_showed_and_leads_to_the_trial(operator: Client) -> None:
    agent = make_agent()
    make_conversations(agent, 2)
    html = operator.get(tab(agent)).content.decode()
    sent = {
        "channel": "voice",
        "of": agent.public_id,
        "how_many": "5",
        "which": "newest",
        "row-0-field": "agent",
        "row-0-op": "",
        "row-0-value": agent.public_id,
        "token": token_in(html),
    }
    answer = operator.post(tab(agent), sent)
    trial = Run.objects.get()
    assert answer.headers["Location"] == page_of(trial)
    assert (trial.items.count(), trial.created_by) == (2, "Ada")
    again = operator.post(tab(agent), sent)
    assert again.headers["Location"] == page_of(trial)
    assert not Analysis.objects.exists()
    assert f'href="{page_of(trial)}"' in operator.get(tab(agent)).content.decode()


def test_a_draft_saved_meanwhile_is_told_with_the_new_figures(operator: Client) -> None:
    agent = make_agent()
    make_conversation(agent)
    token = token_in(operator.get(tab(agent)).content.decode())
    edit_prompt(agent, "Say it in a word.")
    sent = {"channel": "voice", "how_many": "5", "which": "newest", "agent": agent.public_id}
    answer = operator.post(tab(agent), {**sent, "token": token})
    assert answer.status_code == 200
    html = answer.content.decode()
    assert "A draft changed after this estimate" in html
    assert token_in(html) != token
    assert not Run.objects.exists()


def test_the_preview_follows_the_form_and_writes_nothing(operator: Client) -> None:
    agent = make_agent(channel="chat")
    make_conversations(agent, 3)
    make_conversation(agent, status="ongoing")
    url = reverse("runs:trial_preview")
    sent = {"channel": "chat", "of": agent.public_id, "how_many": "2", "which": "sample"}
    html = operator.post(url, sent, headers=HTMX).content.decode()
    assert "Run on 2 ·" in html
    assert 'hx-swap-oob="true"' in html
    html = operator.post(url, {**sent, "how_many": "50"}, headers=HTMX).content.decode()
    assert "Run on 3 ·" in html
    assert "1 left out. Still in progress." in html
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        ({"how_many": "51"}, "test up to 50 at a time"),
        ({"how_many": "0"}, "Enter a number from 1 to 50"),
        ({"how_many": "many"}, "Enter a number from 1 to 50"),
        ({"how_many": ""}, "Enter a number from 1 to 50"),
        ({"nonsense": "1"}, "nonsense"),
        ({"row-0-field": "duration_ms", "row-0-op": "gte", "row-0-value": "long"}, "duration_ms"),
    ],
)
def test_what_cannot_be_understood_never_means_all(
    operator: Client, sent: dict[str, str], sentence: str
) -> None:
    agent = make_agent()
    make_conversation(agent)
    given = {"channel": "voice", "of": agent.public_id, "how_many": "5", "which": "newest"} | sent
    url = reverse("runs:trial_preview")
    html = operator.post(url, given, headers=HTMX).content.decode()
    assert sentence in html
    assert 'name="token"' not in html
    assert 'id="trial-run" form="trial-form" hx-swap-oob="true" disabled' in html
    answer = operator.post(tab(agent), {**given, "token": "x"})
    assert answer.status_code == 200
    assert not Run.objects.exists()


def test_an_agent_without_conversations_begins_with_those_of_others(operator: Client) -> None:
    new, other = make_agent(), make_agent()
    assert "see the cost before the test runs" in operator.get(tab(new)).content.decode()
    conversation = make_conversation(other)
    assert conversation.public_id in operator.get(tab(new)).content.decode()

    own = operator.get(tab(new), {"agent": new.public_id}).content.decode()
    assert conversation.public_id not in own
    assert "test this draft on other agents’ calls" in own
    html = operator.get(tab(new), {"agent": other.public_id}).content.decode()
    assert "Run on 1 ·" in html


def test_chosen_conversations_stay_chosen(operator: Client) -> None:
    agent = make_agent()
    rows = make_conversations(agent, 4)
    picked = [row.public_id for row in rows[:3]]
    html = operator.get(tab(agent), {"id": picked}).content.decode()
    assert "3 selected calls" in html
    assert "Run on 3 ·" in html


def test_prices_are_said_to_be_unknown_or_nothing(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpriced = make_agent(model=make_model(name="dear", input_price=None, output_price=None))
    make_conversation(unpriced)
    html = operator.get(tab(unpriced)).content.decode()
    assert "Set prices for dear" in html
    assert "Run on 1 · price unknown" in html
    monkeypatch.setattr("django.conf.settings.BUNDLED_MODEL_URL", "http://127.0.0.1:9/v1")
    free = {"is_local": True, "input_price": Decimal(0), "output_price": Decimal(0)}
    local = make_agent(model=make_model(name="small", **free))
    make_conversation(local)
    html = operator.get(tab(local)).content.decode()
    assert "No charge: small is free to run." in html
    assert "Run on 1 · free" in html
    assert "$0.00" not in html


def test_a_viewer_sees_trials_and_no_form(viewer: Client) -> None:
    agent = make_agent()
    make_conversation(agent)
    trial = start_trial(agent)
    html = viewer.get(tab(agent)).content.decode()
    assert f'href="{page_of(trial)}"' in html
    assert "trial-form" not in html
    assert "trial-cancel" not in viewer.get(page_of(trial)).content.decode()


def test_without_script_rows_are_added_and_nothing_runs(operator: Client) -> None:
    agent = make_agent()
    make_conversation(agent)
    sent = {"channel": "voice", "how_many": "3", "which": "newest", "add": "1"}
    html = operator.post(tab(agent), sent).content.decode()
    assert 'id="filter-row-0"' in html
    assert not Run.objects.exists()


# From a backfill


def test_the_dialog_tries_the_drafts_of_a_backfill_and_leads_back(operator: Client) -> None:
    one, two = make_agent(), make_agent()
    make_conversations(one, 3)
    make_conversations(two, 3)
    done = make_conversation(one)
    config = one.versions.get().config
    type(done).objects.filter(pk=done.pk).update(analysis_state="succeeded", analysis_config=config)
    url = reverse("runs:trial_new")
    asked = {"channel": "voice", "agent": [one.public_id, two.public_id], "look": "1"}
    html = operator.post(url, asked, headers=HTMX).content.decode()
    assert "<html" not in html
    assert "Run on 5 ·" in html
    back = f"{reverse('runs:new')}?channel=voice&amp;agent={one.public_id}"
    assert back in html
    sent = {**asked, "how_many": "50", "which": "sample"}
    html = operator.post(url, sent, headers=HTMX).content.decode()
    assert "Run on 6 ·" in html  # what has this result already is skipped, as in the backfill
    del sent["look"]
    answer = operator.post(url, {**sent, "token": token_in(html)}, headers=HTMX)
    trial = Run.objects.get()
    assert trial.agent is None
    assert answer.headers["HX-Redirect"].startswith(f"{page_of(trial)}?back=")
    page = operator.get(answer.headers["HX-Redirect"]).content.decode()
    assert "Back to the backfill" in page
    assert back in page


def test_the_dialog_is_a_page_without_script(operator: Client) -> None:
    make_conversation(make_agent())
    url = reverse("runs:trial_new")
    answer = operator.get(url, {"channel": "voice"})
    assert b"<html" in answer.content
    assert "HX-Request" in answer.headers["Vary"]
    assert operator.get(url, {"channel": "fax"}).status_code == 404


def test_a_refused_start_comes_back_in_the_dialog(operator: Client) -> None:
    make_conversation(make_agent())
    sent = {"channel": "voice", "how_many": "5", "which": "sample", "token": "made up"}
    answer = operator.post(reverse("runs:trial_new"), sent, headers=HTMX)
    assert answer.status_code == 200
    assert "This estimate has expired" in answer.content.decode()


# The trial


def test_a_trial_shows_both_sides_and_each_field_over_all(editor: Client) -> None:
    agent = make_agent(name="Billing line")
    rows = make_conversations(agent, 3)
    for row, happy in zip(rows[:2], (True, False), strict=True):
        record_imported(
            [Imported(row, {"call_summary": "Short.", "call_successful": happy})], by=ADA
        )
    trial = start_trial(agent)
    finish(trial)
    html = editor.get(page_of(trial)).content.decode()
    assert "data-live" not in html
    assert "3 <small>of 3" in html
    assert html.count('class="trial-item"') == 3
    assert html.count("2 of 3 changed") == 1  # successful false → true, sentiment anew
    assert html.count("1 of 3 changed") == 1
    assert "First result" in html
    assert "1,000 in / 50 out · $0.0005 · 1.4 s" in html
    assert "Hello, how can I help?" in html
    for button in ("trial-publish", "trial-backfill"):
        assert f'id="{button}"' in html
    successful = html[html.index("trial-fields-title") :].split("call_successful")[1]
    assert "1 <small" in successful.split("</tr>")[0]  # changed in one of two
    assert "3 of 3 filled" in successful.split("</tr>")[0]


def test_both_sides_count_the_same_conversations(editor: Client) -> None:
    agent = make_agent()
    rows = make_conversations(agent, 5)
    record_imported([Imported(rows[0], {"call_successful": True})], by=ADA)
    record_imported([Imported(rows[1], {"call_summary": "Short."})], by=ADA)
    trial = start_trial(agent)
    finish(trial)
    lost = trial.items.get(conversation=rows[4])
    lost.state, lost.output, lost.error_code = "failed", None, "length"
    lost.save()
    verdict = next(
        row
        for row in comparison.summaries(comparison.items_of(trial), {})
        if row.name == "call_successful"
    )
    assert (verdict.before.filled, verdict.before.of) == (1, 5)
    assert verdict.before.counts == (("Yes", 1),)
    assert verdict.before.gaps == (("Not asked", 1), ("No result yet", 3))
    assert (verdict.after.filled, verdict.after.of) == (4, 5)
    assert verdict.after.gaps == (("Failed", 1),)
    assert (verdict.changed, verdict.of) == (1, 2)
    html = editor.get(page_of(trial)).content.decode()
    assert "over the same 5 calls on both sides" in html
    head = html[: html.index('id="trial-fields"')]
    assert "1 failed." in head
    assert f'href="#trial-item-{lost.position}"' in head
    assert "<code>length</code>" in head
    assert "Call: I was charged twice in March." in head


def test_a_failure_says_its_sentence_and_what_the_model_answered(operator: Client) -> None:
    agent = make_agent()
    make_conversation(agent)
    trial = start_trial(agent)
    finish(
        trial,
        state="failed",
        output=None,
        error_code="length",
        error_message="The response was cut off after 600 tokens.",
        raw_output='{"call_sum <script>',
    )
    html = operator.get(page_of(trial)).content.decode()
    assert html.count("The response was cut off") == 1
    assert "call_sum &lt;script&gt;" in html
    assert "1 failed" in html


def test_progress_brings_what_is_new_and_ends_the_poll(operator: Client) -> None:
    agent = make_agent()
    make_conversations(agent, 2)
    trial = start_trial(agent)
    page = operator.get(page_of(trial)).content.decode()
    assert 'hx-trigger="every 1s' in page
    url = page_of(trial, "trial_progress")
    trial.items.filter(position=1).update(
        state="done", output=OUTPUT, finished_at=timezone.now(), cost=0
    )
    answer = operator.get(url, {"shown": ""}, headers=HTMX)
    html = answer.content.decode()
    assert answer.status_code == 200
    assert 'id="trial-item-1"' in html
    assert 'id="trial-item-2"' not in html
    assert "shown=1" in html
    again = operator.get(url, {"shown": "1"}, headers=HTMX)
    assert 'id="trial-item-1"' not in again.content.decode()
    finish(trial)
    last = operator.get(url, {"shown": "1"}, headers=HTMX)
    assert last.status_code == 286
    assert 'id="trial-item-2"' in last.content.decode()
    assert "hx-trigger" not in last.content.decode().split("</section>")[0]
    assert operator.get(url).headers["Location"] == page_of(trial)


def test_cancelling_from_the_page(operator: Client) -> None:
    agent = make_agent()
    make_conversations(agent, 2)
    trial = start_trial(agent)
    url = page_of(trial, "trial_cancel")
    assert operator.post(url, headers=HTMX).status_code == 204
    answer = operator.post(url, follow=True)
    assert "This test run already finished." in answer.content.decode()
    assert "Canceled" in answer.content.decode()


def test_the_transcript_unfolds_in_its_place(operator: Client) -> None:
    agent = make_agent()
    said = [{"role": "user", "content": f"Line {n}."} for n in range(12)]
    conversation = make_conversation(agent, messages=said)
    trial = start_trial(agent)
    page = operator.get(page_of(trial)).content.decode()
    assert "Line 5." in page
    assert "Line 6." not in page
    assert "All 12 messages" in page
    url = page_of(trial, "trial_transcript", 1)
    html = operator.get(url, headers=HTMX).content.decode()
    assert "Line 11." in html
    assert conversation.public_id in operator.get(url).headers["Location"]
    assert operator.get(page_of(trial, "trial_transcript", 2), headers=HTMX).status_code == 404


def test_what_is_not_there_is_not_found(operator: Client) -> None:
    for name in ("trial", "trial_progress"):
        url = reverse(f"runs:{name}", args=["try_missing"])
        assert operator.get(url).status_code == 404
    assert operator.get(reverse("runs:try_it", args=["agt_missing"])).status_code == 404


def test_pages_cost_the_same_whatever_was_tried(
    operator: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for how_many in (2, 12):
        agent = make_agent()
        for row in make_conversations(agent, how_many):
            record_imported([Imported(row, OUTPUT)], by=ADA)
        trial = start_trial(agent, count=50)
        finish(trial)
        operator.get(page_of(trial))  # parses the configs, which is cached by hash
        with django_assert_num_queries(8):
            operator.get(page_of(trial))
        with django_assert_num_queries(15):
            operator.get(tab(agent), {"agent": agent.public_id, "how_many": "50"})


# ---- What is told of it before publishing


def _evidence(agent: Agent) -> str:
    return reverse("runs:trial_evidence", args=[agent.public_id])


def test_a_draft_that_was_never_tried_says_so(editor: Client) -> None:
    text = editor.get(_evidence(make_agent()), headers=HTMX).text
    assert "No test run of" in text
    assert "Test" in text


def test_a_draft_shows_its_last_trial_before_it_is_published(
    editor: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    agent = make_agent()
    make_conversations(agent, 3)
    trial = start_trial(agent, count=3)
    now = timezone.now()
    first, second, third = trial.items.order_by("position")
    for item in (first, second):
        item.state, item.error_code, item.finished_at = ItemState.FAILED, "timeout", now
        item.save()
    third.state, third.output, third.finished_at = ItemState.DONE, OUTPUT, now
    third.save()

    with django_assert_num_queries(6):  # session, user, agent, draft, last item, its trial's items
        text = editor.get(_evidence(agent), headers=HTMX).text
    assert "1 of 3 calls analyzed" in text
    assert "2 failed" in text
    assert first.sentence in text
    assert "saved again" not in text

    changes = {"analysis": {"instructions": "Another prompt."}}
    save_draft(agent=agent, changes=changes, by=Actor("Eve", Role.EDITOR))
    assert "saved again after this test run" in editor.get(_evidence(agent), headers=HTMX).text


def test_the_publish_dialog_asks_for_the_evidence(editor: Client) -> None:
    agent = make_agent()
    for headers in ({}, HTMX):
        page = editor.get(reverse("agents:publish", args=[agent.public_id]), headers=headers)
        assert f'hx-get="{_evidence(agent)}"' in page.text
