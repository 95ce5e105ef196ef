"""/metrics says what is there, in a format that Prometheus' own parser reads."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import DjangoAssertNumQueries

from apps.accounts.actors import Actor
from apps.accounts.keys import create_api_key
from apps.accounts.models import Role, User
from apps.analysis.models import Analysis
from apps.conversations.models import Conversation
from apps.llm.models import Purpose, Usage
from apps.runs.models import Run
from apps.runs.options import Options
from apps.runs.services import start
from config.disk import probe
from tests.factories import make_agent, make_conversations

pytestmark = pytest.mark.django_db

QUERIES = 13
BY = Actor.system("tests")


def figures(client: Client) -> dict[tuple[str, ...], float]:
    """Every sample of the page by its name and the values of its labels."""
    response = client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/plain")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(response.content.decode())
        for sample in family.samples
    }


@pytest.fixture
def watcher(client: Client) -> Client:
    """A program with a key that may only read."""
    _, secret = create_api_key(name="prometheus", role=Role.VIEWER, by=BY)
    client.defaults["HTTP_AUTHORIZATION"] = f"Bearer {secret}"
    return client


def test_an_empty_installation_answers_zeros(watcher: Client) -> None:
    found = figures(watcher)
    assert found["debrief_up", "database"] == 1
    assert found["debrief_analyses_waiting", "live"] == 0
    assert found["debrief_analyses_oldest_seconds", "live"] == 0
    assert found["debrief_conversations_due",] == 0
    assert found["debrief_webhook_oldest_seconds",] == 0
    assert found["debrief_crm_pushes", "parked"] == 0
    assert found["debrief_crm_oldest_seconds",] == 0
    assert found["debrief_crm_connections_disabled",] == 0


def test_work_and_money_are_counted(watcher: Client) -> None:
    agent = make_agent()
    first, second, third = make_conversations(agent, 3)
    draft = agent.versions.get()
    Analysis.objects.create(
        conversation=first,
        agent_version=draft,
        config=draft.config,
        trigger="initial",
        priority="live",
    )
    Analysis.objects.update(created_at=timezone.now() - timedelta(minutes=5))
    Conversation.objects.filter(pk=second.pk).update(analyze_at=timezone.now())
    Conversation.objects.filter(pk=third.pk).update(analyze_at=timezone.now() + timedelta(hours=1))
    start(channel=agent.channel, params={}, options=Options(), by=BY)
    for at in (timezone.now(), timezone.now() - timedelta(hours=2)):
        Usage.objects.create(
            at=at, purpose=Purpose.ANALYSIS, trigger="rerun", model_name='m "1"', requests=2,
            input_tokens=100, output_tokens=7, cost=Decimal("0.25"),
        )  # fmt: skip

    found = figures(watcher)

    assert found["debrief_analyses_waiting", "live"] == 1
    assert found["debrief_analyses_running", "live"] == 0
    assert 300 <= found["debrief_analyses_oldest_seconds", "live"] < 330
    assert found["debrief_analyses_postponed", "live"] == 0
    assert found["debrief_conversations_due",] == 1
    assert 0 <= found["debrief_conversations_due_oldest_seconds",] < 30
    assert found["debrief_backfills", "queued"] == 1
    assert found["debrief_backfill_items_left",] == 3
    spent = ('m "1"', "analysis", "rerun")  # the older line is not of this hour
    assert found["debrief_requests_last_hour", *spent] == 2
    assert found["debrief_requests_last_minute", *spent] == 2
    assert found["debrief_input_tokens_last_hour", *spent] == 100
    assert found["debrief_cost_last_hour", *spent] == 0.25


def test_failures_and_pauses_are_counted_by_cause(watcher: Client) -> None:
    agent = make_agent()
    draft = agent.versions.get()
    for conversation, ago in zip(make_conversations(agent, 3), (1, 2, 90), strict=True):
        Analysis.objects.create(
            conversation=conversation, agent_version=draft, config=draft.config, trigger="initial",
            state="failed", error_code="timeout",
            finished_at=timezone.now() - timedelta(minutes=ago),
        )  # fmt: skip
    run = start(channel=agent.channel, params={}, options=Options(), by=BY)
    Run.objects.filter(pk=run.pk).update(state="paused", reason="quota")

    found = figures(watcher)

    assert found["debrief_analysis_failures_last_hour", "timeout"] == 2
    assert found["debrief_analysis_failures_last_hour", "auth"] == 0
    assert found["debrief_backfills_paused", "quota"] == 1
    assert found["debrief_backfills_paused", "auth"] == 0
    assert found["debrief_backfills", "paused"] == 1
    assert found["debrief_up", "disk"] == 1
    assert 0 < found["debrief_database_connections",] <= found["debrief_database_max_connections",]
    assert found["debrief_database_bytes",] > 1_000_000
    assert found["debrief_broker_memory_bytes",] > 0


def test_it_is_not_public_and_open_to_people_who_are_logged_in(client: Client) -> None:
    assert client.get("/metrics").status_code == 401
    assert client.post("/metrics").status_code == 405
    client.force_login(User.objects.create_user("reader", role=Role.VIEWER))
    assert "debrief_up" in client.get("/metrics").content.decode()


def test_its_queries_do_not_grow(
    client: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client.force_login(User.objects.create_user("reader", role=Role.VIEWER))
    make_conversations(make_agent(), 5)
    probe.reason()  # asked at most once in ten seconds
    with django_assert_num_queries(QUERIES + 2):  # and the session's
        client.get("/metrics")
