"""The form with its figures, as a browser asks for it and sends it."""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client
from django.urls import reverse

from apps.accounts.models import Role, User
from apps.agents.models import Agent
from apps.conversations.models import Conversation
from apps.runs.models import Run, RunItem
from apps.runs.options import BACKFILL_OPTIONS, OptionsForm
from tests.factories import (
    edit_prompt,
    make_agent,
    make_conversation,
    make_conversations,
    make_model,
)

if TYPE_CHECKING:  # the stubs have a name for what the test client answers
    from django.test.client import _MonkeyPatchedWSGIResponse as Response

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}
NEW = "/backfills/new/"
Queries = Callable[[int], Any]


@pytest.fixture
def agent() -> Agent:
    agent = make_agent(name="Billing line")
    make_conversations(agent, 3)
    make_conversations(agent, 2, status="not_connected")
    return agent


@pytest.fixture
def client() -> Client:
    return as_role(Role.OPERATOR)


def as_role(role: Role) -> Client:
    client = Client()
    client.force_login(User.objects.create_user(f"a-{role}", role=role))
    return client


def text(response: "Response") -> str:
    """What a person reads: without markup, blanks joined."""
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def html(response: "Response") -> str:
    return response.content.decode()


def row(number: int, field: str, *values: str, op: str = "") -> dict[str, Any]:
    """One filter row as the form sends it."""
    name = f"row-{number}"
    return {f"{name}-field": field, f"{name}-op": op, f"{name}-value": list(values)}


def figures(client: Client, **form: Any) -> "Response":
    return client.post("/backfills/preview/", {"channel": "voice", **form}, headers=HTMX)


def token(client: Client, **form: Any) -> str:
    found = re.search(r'name="token" value="([^"]+)"', html(figures(client, **form)))
    assert found
    return found[1]


def save(client: Client, *, htmx: bool = True, **form: Any) -> "Response":
    return client.post(NEW, {"channel": "voice", **form}, headers=HTMX if htmx else {})


# The form


def test_a_page_has_its_figures_without_script(client: Client, agent: Agent) -> None:
    response = client.get(NEW, {"channel": "voice", "agent": agent.public_id})
    said = text(response)
    assert "5 calls match" in said
    assert "2 never connected" in said
    assert "Billing line V0 draft" in said
    assert "including those that were free in the first run: about" in said
    assert re.search(r"Save · \$0\.\d+", said)
    assert f'value="{agent.public_id}" checked' in html(response)


def test_the_dialog_opens_before_it_counts(client: Client, agent: Agent) -> None:
    response = client.get(NEW, {"channel": "voice"}, headers=HTMX)
    assert "<html" not in html(response)
    assert 'hx-trigger="load,' in html(response)
    assert 'name="token"' not in html(response)
    assert "HX-Request" in response["Vary"]


@pytest.mark.parametrize("query", [{}, {"channel": "fax"}, {"channel": ""}])
def test_a_form_of_no_channel_is_missing(client: Client, query: dict[str, str]) -> None:
    assert client.get(NEW, query).status_code == 404
    assert client.post("/backfills/preview/", query).status_code == 404


def test_it_is_for_operators(agent: Agent) -> None:
    viewer = as_role(Role.VIEWER)
    assert viewer.get(NEW, {"channel": "voice"}).status_code == 403
    assert save(viewer).status_code == 403
    assert Client().get(NEW).status_code == 302
    assert as_role(Role.OPERATOR).put(NEW).status_code == 405


def test_no_filter_is_said_plainly(client: Client, agent: Agent) -> None:
    assert "All 5 calls (no filters)" in text(figures(client))


def test_rows_of_a_page_with_sort_and_columns_are_taken_over(client: Client, agent: Agent) -> None:
    response = client.get(
        NEW, {"channel": "voice", "status": "ended", "sort": "-duration_ms", "columns": "agent"}
    )
    assert "3 calls match" in text(response)


def test_live_figures_follow_the_rows(client: Client, agent: Agent) -> None:
    other = make_agent(name="Technical line")
    make_conversation(other)
    both = figures(client, **row(0, "agent", agent.public_id, other.public_id))
    assert "6 calls match" in text(both)
    narrowed = figures(
        client, **row(0, "agent", agent.public_id), **row(1, "status", "not_connected")
    )
    assert "2 calls match" in text(narrowed)
    assert "None of the 2 matching conversations can be analyzed." in text(narrowed)
    assert 'id="backfill-save" form="backfill-form" hx-swap-oob="true" disabled' in html(narrowed)


def test_a_row_without_a_value_waits_and_never_means_all(client: Client, agent: Agent) -> None:
    response = figures(client, **row(0, "agent"))
    assert "Add a value for Agent" in text(response)
    assert 'name="token"' not in html(response)
    assert "calls match" not in text(response)
    assert "disabled>Save</button>" in html(response)


def test_a_wrong_value_is_told_at_its_row(client: Client, agent: Agent) -> None:
    response = figures(client, **row(4, "duration_ms", "soon", op="gt"))
    assert re.search(r'id="row-4-error" hx-swap-oob="true" >[^<]*“soon”', html(response))
    assert "to see the estimate" in text(response)
    assert 'name="token"' not in html(response)
    mended = figures(client, **row(4, "duration_ms", "3", op="gt"))
    assert 'id="row-4-error" hx-swap-oob="true" hidden' in html(mended)


def test_an_unknown_filter_stays_in_the_form_until_it_is_removed(
    client: Client, agent: Agent
) -> None:
    opened = client.get(NEW, {"channel": "voice", "nonsense": "1"}, headers=HTMX)
    assert "Unknown filter “nonsense”" in text(opened)
    assert '<input type="hidden" name="nonsense" value="1">' in html(opened)
    assert 'hx-trigger="load,' not in html(opened)
    assert 'name="token"' not in html(figures(client, nonsense="1"))
    removed = client.post(NEW, {"channel": "voice", "nonsense": "1", "remove": "nonsense"})
    assert "All 5 calls" in text(removed)


def test_a_selection_of_rows_is_shown_by_its_number(client: Client, agent: Agent) -> None:
    chosen = list(Conversation.objects.values_list("public_id", flat=True)[:2])
    response = client.get(NEW, {"channel": "voice", "id": chosen})
    assert "2 selected calls" in text(response)
    assert "2 calls match" in text(response)
    assert all(f'name="id" value="{one}"' in html(response) for one in chosen)


def test_a_search_is_a_filter_too(client: Client, agent: Agent) -> None:
    response = client.get(NEW, {"channel": "voice", "q": "no such words"})
    assert 'name="q" value="no such words"' in html(response)
    assert "0 calls match" in text(response)
    assert "No conversations match these filters." in text(response)
    assert "All 5 calls" in text(figures(client, q=" "))


def test_an_option_that_makes_no_sense_is_told(client: Client, agent: Agent) -> None:
    response = figures(client, sample="0", sample_unit="count")
    assert "The sample must be a whole number" in text(response)
    assert 'name="token"' not in html(response)
    assert "sample" in text(figures(client, sample="2", sample_unit="count"))


def test_rows_are_added_and_dropped_without_script(client: Client, agent: Agent) -> None:
    added = client.post(NEW, {"channel": "voice", "add": "1", **row(0, "status", "ended")})
    assert html(added).count('class="filter-row"') == 2
    dropped = client.post(NEW, {"channel": "voice", "drop": "0", **row(0, "status", "ended")})
    assert "All 5 calls" in text(dropped)
    assert not Run.objects.exists()


def test_hostile_text_is_shown_as_text(client: Client, agent: Agent) -> None:
    Agent.objects.filter(pk=agent.pk).update(name="<script>alert(1)</script>{{ x }}")
    response = client.get(NEW, {"channel": "voice", '"><b>': "<i>"})
    assert "<script>alert" not in html(response)
    assert "<b>" not in html(response)
    assert "<i>" not in html(response)


def test_the_figures_cost_a_fixed_number_of_queries(
    client: Client, agent: Agent, django_assert_num_queries: Queries
) -> None:
    figures(client)
    for _ in range(5):
        make_conversations(make_agent(), 2)
    with django_assert_num_queries(QUERIES_OF_FIGURES):
        figures(client)


QUERIES_OF_FIGURES = 11
"""Session, person; the count by route, drafts, latency; what is published; runs at work. Four give
the count its time limit: two of a transaction, and the limit set and reset."""


# Saving


def test_save_starts_the_run_and_tells_the_page(client: Client, agent: Agent) -> None:
    form = row(0, "agent", agent.public_id)
    response = save(client, token=token(client, **form), **form)
    run = Run.objects.get()
    assert response.status_code == 204
    assert "Backfill of 3 calls started." in response["HX-Trigger"]
    assert reverse("runs:detail", args=[run.public_id]) in response["HX-Trigger"]
    assert "backfills:changed" in response["HX-Trigger"]
    assert "dialog:close" in response["HX-Trigger"]
    assert (run.created_by, run.total) == ("a-operator", 3)
    assert run.filters == {"agent": [agent.public_id]}


def test_save_without_script_leads_to_the_run(client: Client, agent: Agent) -> None:
    response = save(client, htmx=False, token=token(client))
    run = Run.objects.get()
    assert response.status_code == 302
    assert response["Location"] == reverse("runs:detail", args=[run.public_id])


def test_a_second_third_and_tenth_save_lead_to_the_same_run(client: Client, agent: Agent) -> None:
    agreed = token(client)
    for _ in range(10):
        assert save(client, token=agreed).status_code == 204
    run = Run.objects.get()
    assert RunItem.objects.count() == 3
    again = save(client, token=agreed)
    assert "You already started this backfill" in again["HX-Trigger"]
    assert save(client, token=token(client), htmx=False)["Location"].endswith(f"{run.public_id}/")
    assert Run.objects.count() == 1


@pytest.mark.parametrize(
    ("agreed", "message"),
    [("", "Review the estimate, then start"), ("made-up", "This estimate has expired")],
)
def test_without_figures_that_were_shown_nothing_starts(
    client: Client, agent: Agent, agreed: str, message: str
) -> None:
    response = save(client, token=agreed)
    assert response.status_code == 200
    assert message in text(response)
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    "form",
    [
        {"nonsense": "1"},
        row(0, "duration_ms", "soon", op="gt"),
        row(0, "agent"),
        row(0, "agent", "agt_nobody"),
        {"q": "%%%"},
        {"sample": "-1"},
        {"sample": "x"},
        {"sample": "200", "sample_unit": "percent"},
        {"sample": "1", "sample_unit": "dozen"},
    ],
)
def test_a_bad_form_starts_nothing_even_with_a_good_token(
    client: Client, agent: Agent, form: dict[str, Any]
) -> None:
    response = save(client, token=token(client), **form)
    assert response.status_code == 200
    assert "backfill-refusal" in html(response)
    assert not Run.objects.exists()


def test_a_form_that_was_edited_after_its_figures_is_refused(client: Client, agent: Agent) -> None:
    response = save(client, token=token(client, **row(0, "status", "ended")))
    assert "The filters changed after this estimate" in text(response)
    assert "All 5 calls" in text(response)
    assert not Run.objects.exists()


def test_what_grew_comes_back_with_the_new_figures(client: Client, agent: Agent) -> None:
    waiting = make_conversation(agent, status="ongoing")
    agreed = token(client)
    Conversation.objects.filter(pk=waiting.pk).update(status="ended")
    refused = save(client, token=agreed)
    assert "Now 4 conversations match (was 3)" in text(refused)
    renewed = re.search(r'name="token" value="([^"]+)"', html(refused))
    assert renewed
    assert save(client, token=renewed[1]).status_code == 204


def test_an_edited_draft_comes_back_too(client: Client, agent: Agent) -> None:
    agreed = token(client)
    edit_prompt(agent, "Something else.")
    assert "A draft changed" in text(save(client, token=agreed))
    assert not Run.objects.exists()


def test_a_run_that_is_asked_the_same_is_pointed_at(client: Client, agent: Agent) -> None:
    save(client, token=token(client))
    assert "A backfill with the same filters is already queued" in text(figures(client))


def test_chats_are_called_chats(client: Client) -> None:
    make_conversation(make_agent(channel="chat"))
    said = text(client.get(NEW, {"channel": "chat"}))
    assert "Backfill from Post-Chat Data" in said
    assert "1 chat matches" in said
    assert "1 chats" not in said


# The Actions menu


def test_the_menu_opens_the_form_with_the_filters_of_the_page(client: Client) -> None:
    response = client.get("/backfills/actions/", {"channel": "voice", "status": "ended"})
    assert "Backfill from Post-Call Data" in text(response)
    assert 'hx-get="/backfills/new/?channel=voice&amp;status=ended"' in html(response)


def test_the_menu_follows_the_address_of_the_page(client: Client) -> None:
    response = client.get(
        "/backfills/actions/",
        {"channel": "chat", "current": "1"},
        headers={**HTMX, "HX-Current-URL": "http://x/chats/?agent=agt_1&cursor=zzz"},
    )
    assert "Backfill from Post-Chat Data" in text(response)
    assert 'hx-get="/backfills/new/?channel=chat&amp;agent=agt_1"' in html(response)


def test_the_menu_tells_viewers_what_they_lack() -> None:
    response = as_role(Role.VIEWER).get("/backfills/actions/", {"channel": "voice"})
    assert "Requires the Operator role" in text(response)
    assert "/backfills/new/" not in html(response)


def test_what_costs_nothing_is_said_to_be_free(client: Client) -> None:
    free = {"is_local": True, "input_price": Decimal(0), "output_price": Decimal(0)}
    make_conversation(make_agent(model=make_model(name="small", **free)))
    said = client.post(reverse("runs:preview"), {"channel": "voice"}).content.decode()
    assert "Save · free" in said
    assert "No charge: small is free to run." in said
    assert "incurs charges" not in said
    assert "$0.00" not in said


def test_trying_first_takes_the_filters_and_carries_the_options(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every option of this form is known to the room below that tries its drafts."""
    assert set(OptionsForm.base_fields) <= BACKFILL_OPTIONS
    monkeypatch.setattr("django.conf.settings.OPENAI_API_KEY", "k")
    agent = make_agent()
    make_conversation(agent)
    opened = html(client.get(NEW, {"channel": "voice"}, headers=HTMX))
    assert f'hx-post="{reverse("runs:trial_new")}"' in opened
    sent = {
        "channel": "voice",
        "look": "1",
        "sample": "3",
        "webhooks": "off",
        "agent": agent.public_id,
    }
    said = html(client.post(reverse("runs:trial_new"), sent, headers=HTMX))
    assert "Run on 1 ·" in said
    back = f"{NEW}?channel=voice&amp;agent={agent.public_id}&amp;sample=3&amp;webhooks=off"
    assert back in said
