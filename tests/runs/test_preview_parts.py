"""The parts of a preview: the count alone, and a sentence where it takes too long."""

import re
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client

from apps.accounts.models import Role
from apps.runs import preview
from tests.api.conftest import Caller
from tests.factories import client_as, make_agent, make_conversation, make_conversations
from tests.locks import Writer

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}


def text(response: Any) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def post(client: Client, part: str, **form: Any) -> str:
    return text(
        client.post(f"/backfills/preview/{part}", {"channel": "voice", **form}, headers=HTMX)
    )


@pytest.fixture
def client() -> Client:
    return client_as(Role.OPERATOR)


def test_the_count_comes_alone(client: Client, django_assert_max_num_queries: Any) -> None:
    agent = make_agent()
    make_conversations(agent, 3)
    make_conversation(agent, status="ongoing")
    assert post(client, "count/") == "All 4 calls (no filters)"
    ended = {"row-1-field": "status", "row-1-op": "", "row-1-value": "ended"}
    with django_assert_max_num_queries(8):
        assert post(client, "count/", **ended) == "3 calls match"
    assert post(client, "count/", **(ended | {"row-1-value": "ongoing"})) == "1 call matches"
    assert post(client, "count/", **(ended | {"row-1-value": "nonsense"})) == ""


def test_figures_bring_the_count_that_they_are_of(client: Client) -> None:
    make_conversations(make_agent(), 3)
    page = client.post("/backfills/preview/", {"channel": "voice"}, headers=HTMX).content.decode()
    assert 'hx-swap-oob="innerHTML:#preview-count"' in page
    assert "All 3 calls" in page


@pytest.mark.django_db(transaction=True)
def test_a_slow_count_ends_in_a_sentence(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    make_conversations(make_agent(), 3)
    caller = Caller(Role.OPERATOR)
    monkeypatch.setattr(preview, "PREVIEW_SECONDS", 0.05)
    monkeypatch.setattr("apps.runs.views.backfills.PREVIEW_SECONDS", 0.05)
    monkeypatch.setattr("apps.api.backfills.PREVIEW_SECONDS", 0.05)
    said: list[str] = []

    def ask() -> None:
        said.extend(post(client, part) for part in ("count/", ""))
        said.append(text(caller.post("/backfills/preview", {"channel": "voice"})))

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE conversations_conversation IN ACCESS EXCLUSIVE MODE")
        Writer(ask).join()
    sentence = "Counting these conversations takes too long. Narrow the filters."
    assert all(sentence in one for one in said)
    assert "preview_too_slow" in said[-1]
