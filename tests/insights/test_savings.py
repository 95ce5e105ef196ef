"""What sampling and minimum lengths would have saved, by the rules that are really applied."""

import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import Role, User
from apps.agents.models import Agent
from apps.conversations.models import Conversation
from apps.core.sampling import is_sampled
from apps.insights.savings import SHARES, savings_of
from apps.llm.models import Usage
from tests.factories import make_agent, make_conversation, make_conversations

pytestmark = pytest.mark.django_db

NOW = timezone.now()
HTMX = {"HX-Request": "true"}


@pytest.fixture
def agent() -> Agent:
    return make_agent(name="Billing line")


def first(*conversations: Conversation, cost: str | None = "0.01", **values: Any) -> None:
    """The ledger's row of a first analysis of each."""
    defaults: dict[str, Any] = {
        "purpose": "analysis",
        "trigger": "initial",
        "model_name": "m",
        "at": NOW - timedelta(days=1),
        "cost": None if cost is None else Decimal(cost),
    }
    Usage.objects.bulk_create(
        Usage(
            **{
                "agent_id": c.agent.public_id,
                "conversation_id": c.public_id,
                **defaults,
                **values,
            }
        )
        for c in conversations
    )


def by_rule(agent: Agent) -> dict[tuple[str, int], Any]:
    found = savings_of(agent, now=NOW)
    return {(s.rule.name, s.rule.value): s for s in found.rules if s.rule}


def test_sampling_leaves_out_the_very_conversations_that_it_would(agent: Agent) -> None:
    made = make_conversations(agent, 300)
    first(*made)
    rules = by_rule(agent)
    for share in SHARES:
        out = [c for c in made if not is_sampled(c.public_id, Decimal(share))]
        saving = rules["sample_percent", share]
        assert saving.conversations == len(out) > 0
        assert saving.cost == Decimal("0.01") * len(out)


def test_minimum_lengths_leave_out_what_is_shorter(agent: Agent) -> None:
    lengths = [(5_000, 1), (10_000, 2), (19_999, 3), (25_000, 5), (None, 9)]
    for duration_ms, messages in lengths:
        first(make_conversation(agent, duration_ms=duration_ms, message_count=messages))
    rules = by_rule(agent)
    assert [rules["min_seconds", n].conversations for n in (10, 20, 30)] == [1, 3, 4]
    assert [rules["min_messages", n].conversations for n in (2, 4, 6)] == [1, 3, 4]


def test_what_would_have_been_missed_is_what_was_unsuccessful(agent: Agent) -> None:
    for successful in (True, False, False, None):
        first(make_conversation(agent, duration_ms=1_000, successful=successful))
    first(make_conversation(agent, duration_ms=60_000, successful=False))
    found = savings_of(agent, now=NOW)
    assert (found.total.conversations, found.total.unsuccessful) == (5, 3)
    assert by_rule(agent)["min_seconds", 10].unsuccessful == 2


def test_only_first_analyses_of_this_agent_and_month_count(agent: Agent) -> None:
    kept, *others = make_conversations(agent, 4)
    first(kept)
    first(others[0], trigger="rerun")
    first(others[1], at=NOW - timedelta(days=31))
    first(others[2], purpose="try_it")
    first(make_conversation(make_agent()))
    assert savings_of(agent, now=NOW).total.conversations == 1


def test_a_price_that_is_not_known_is_not_saved_as_zero(agent: Agent) -> None:
    first(make_conversation(agent, duration_ms=1_000), cost=None)
    saving = by_rule(agent)["min_seconds", 10]
    assert saving.said == "price unknown"
    first(make_conversation(agent, duration_ms=1_000))
    from django.core.cache import cache

    cache.clear()
    assert by_rule(agent)["min_seconds", 10].said == "$0.01 + 1 unpriced requests"


class TestPage:
    @pytest.fixture(autouse=True)
    def _viewer(self, client: Client) -> None:
        client.force_login(User.objects.create_user("vi", role=Role.VIEWER))

    def said(self, client: Client, url: str, **headers: str) -> str:
        html = client.get(url, headers=headers).content.decode()
        return " ".join(re.sub(r"<[^>]+>", " ", html).split())

    def test_the_table_with_the_way_to_the_settings(self, client: Client, agent: Agent) -> None:
        first(make_conversation(agent, duration_ms=1_000, successful=False))
        url = f"/costs/savings/{agent.public_id}/"
        part = client.get(url, headers=HTMX).content.decode()
        assert "<html" not in part
        assert f"/agents/{agent.public_id}/post-analysis/" in part
        assert "Skip under 10 seconds 1 100% $0.01 1 of 1" in self.said(client, url, **HTMX)
        assert "<html" in client.get(url).content.decode()

    def test_an_agent_without_any(self, client: Client, agent: Agent) -> None:
        url = f"/costs/savings/{agent.public_id}/"
        assert "has no automatic analyses in the last 30 days" in self.said(client, url)
        assert client.get("/costs/savings/agt_nobody/").status_code == 404

    def test_it_stands_beside_the_settings(self, client: Client, agent: Agent) -> None:
        page = client.get(f"/agents/{agent.public_id}/post-analysis/").content.decode()
        assert f'hx-get="/costs/savings/{agent.public_id}/"' in page
