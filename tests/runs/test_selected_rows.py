"""Rerun the analysis of rows that were selected on a history page: a backfill of just those."""

import re
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from django.test import Client

from apps.accounts.models import Role
from apps.conversations.models import Conversation
from apps.runs.models import Run, RunItem
from tests.factories import client_as, make_agent, make_conversations

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}


@pytest.fixture
def operator() -> Client:
    return client_as(Role.OPERATOR)


def way_of(client: Client, **selection: Any) -> dict[str, list[str]]:
    """Return the parameters of the dialog that the selection leads to."""
    query = urlencode({"channel": "voice", "to": "rerun", **selection}, doseq=True)
    response: Any = client.get(f"/conversations-selected/?{query}")
    address = urlsplit(response.url)
    assert address.path == "/backfills/new/"
    return parse_qs(address.query)


def save(client: Client, form: dict[str, list[str]]) -> None:
    figures: Any = client.post("/backfills/preview/", form, headers=HTMX)
    token = re.search(r'name="token" value="([^"]+)"', figures.text)
    assert token
    client.post("/backfills/new/", form | {"token": [token[1]]}, headers=HTMX)


def test_selected_rows_are_rerun_and_no_others(operator: Client) -> None:
    conversations = make_conversations(make_agent(), 4)
    chosen = [c.public_id for c in conversations[:2]]
    form = way_of(operator, id=chosen, query="status=ended&cursor=x")
    dialog: Any = operator.get("/backfills/new/", form, headers=HTMX)
    assert "2 selected calls" in " ".join(re.sub(r"<[^>]+>", " ", dialog.text).split())

    save(operator, form)

    run = Run.objects.get()
    assert run.total == 2
    items = RunItem.objects.filter(run=run).values_list("conversation__public_id", flat=True)
    assert sorted(items) == sorted(chosen)


def test_all_that_match_are_rerun_by_the_filters_of_the_page(operator: Client) -> None:
    agent = make_agent()
    make_conversations(agent, 3, language="en")
    make_conversations(agent, 2, language="de")
    some = Conversation.objects.filter(language="en").values_list("public_id", flat=True)[:1]
    form = way_of(operator, id=list(some), query="language=en&cursor=x", all_matching="1")
    assert form == {"channel": ["voice"], "language": ["en"]}

    save(operator, form)

    assert Run.objects.get().total == 3


def test_the_bar_of_selected_rows_offers_it_to_operators(operator: Client) -> None:
    make_conversations(make_agent(), 1)
    page = operator.get("/calls/").text
    assert 'id="rerun-selected"' in page
    assert "Rerun analysis" in page
    assert 'id="rerun-selected"' not in client_as(Role.VIEWER).get("/calls/").text
