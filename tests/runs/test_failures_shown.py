"""How a run that ended with failures looks, what may be retried, and what a retry brought."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from apps.accounts.models import Role
from apps.agents.models import Agent
from apps.llm.errors import ErrorCode
from apps.runs.backfill_queue import BackfillQueue
from apps.runs.failures import can_change, remedy
from apps.runs.models import Run, State
from tests.factories import make_agent

from .test_views import HTMX, as_role, html, text
from .test_views_runs import a_run, url

pytestmark = pytest.mark.django_db

HOPELESS = {"transcript_too_long", "schema_rejected", "content_filter", "refusal", "length"}


@pytest.fixture
def agent() -> Agent:
    return make_agent(name="Billing line")


def fail(run: Run, code: str, count: int) -> None:
    """Let pending items fail, as a runner would."""
    keys = run.items.filter(state="pending").values_list("pk", flat=True)[:count]
    run.items.filter(pk__in=list(keys)).update(
        state="failed", error_code=code, error_message="Why.", finished_at=timezone.now()
    )


def complete(run: Run) -> None:
    """Let what is left be done, and the run end."""
    run.items.filter(state="pending").update(
        state="done", changed=False, finished_at=timezone.now()
    )
    BackfillQueue().finished()
    run.refresh_from_db()


@pytest.mark.parametrize("code", ErrorCode.values)
def test_each_cause_has_a_retry_or_a_remedy(code: str) -> None:
    assert can_change(code) == (code not in HOPELESS) == (remedy(code) == "")


def test_a_run_with_failures_is_amber_everywhere(agent: Agent) -> None:
    run = a_run(agent, 6)
    fail(run, "timeout", 5)
    complete(run)
    client = as_role(Role.OPERATOR)
    amber = re.compile(r'class="dot warn"[^>]*>Completed with 5 failed<')
    assert amber.search(html(client.get(url(run))))
    assert amber.search(html(client.get("/backfills/")))
    banner = client.get(f"/backfills/banner/?run={run.public_id}", headers=HTMX)
    assert "Backfill completed with 5 failed" in text(banner)


def test_a_run_without_failures_is_green(agent: Agent) -> None:
    run = a_run(agent, 2)
    complete(run)
    assert re.search(r'class="dot ok"[^>]*>Completed<', html(as_role(Role.OPERATOR).get(url(run))))


def test_what_cannot_change_shows_its_remedy_and_no_retry(agent: Agent) -> None:
    run = a_run(agent, 6)
    fail(run, "transcript_too_long", 5)
    complete(run)
    client = as_role(Role.OPERATOR)
    page = text(client.get(url(run)))
    assert "Retry" not in page
    assert "choose a model with a larger context" in page
    assert client.post(url(run, "retry-failed/"), headers=HTMX).status_code == 409


def test_only_what_can_change_is_retried(agent: Agent) -> None:
    run = a_run(agent, 6)
    fail(run, "transcript_too_long", 2)
    fail(run, "timeout", 3)
    complete(run)
    client = as_role(Role.OPERATOR)
    assert "Retry 3 failed" in text(client.get(url(run)))
    response = client.post(url(run, "retry-failed/"), headers=HTMX)
    assert "Retrying 3 calls." in response["HX-Trigger"]
    run.refresh_from_db()
    assert (run.state, run.items.filter(state="pending").count()) == (State.RUNNING, 3)


def test_after_a_retry_the_page_says_what_failed_again(agent: Agent) -> None:
    run = a_run(agent, 6)
    fail(run, "timeout", 5)
    complete(run)
    run.items.update(finished_at=timezone.now() - timedelta(minutes=5))
    client = as_role(Role.OPERATOR)
    client.post(url(run, "retry-failed/"), headers=HTMX)
    fail(run, "timeout", 3)
    assert "failed again" not in text(client.get(url(run)))
    complete(run)
    assert "3 of 5 retried failed again." in text(client.get(url(run)))


def test_a_run_that_waits_for_its_provider_says_when_it_is_asked_again(agent: Agent) -> None:
    run = a_run(agent)
    at = timezone.now() + timedelta(seconds=45.4)
    Run.objects.filter(pk=run.pk).update(
        state=State.PAUSED, reason="rate_limited", resume_at=at, probes=2
    )
    client = as_role(Role.OPERATOR)
    page = text(client.get(url(run)))
    assert "Debrief resumes automatically when the provider responds." in page
    assert re.search(r"Next attempt in 4[45] ?s \(attempt 3\)", page)
    Run.objects.filter(pk=run.pk).update(resume_at=None)
    assert "Debrief has stopped trying." in text(client.get(url(run)))
