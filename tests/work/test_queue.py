"""Leases: who may take a row, and who may still touch it."""

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.accounts.actors import Actor
from apps.analysis.claims import ANALYSES, AnalysisJob, load_jobs
from apps.analysis.models import Analysis
from apps.analysis.services import request_rerun
from apps.work.queue import MAX_ATTEMPTS
from tests.factories import make_agent, make_conversations

pytestmark = pytest.mark.django_db


@pytest.fixture
def jobs() -> list[AnalysisJob]:
    for conversation in make_conversations(make_agent(), 3):
        request_rerun(conversation=conversation, by=Actor.system("tests"))
    return load_jobs(ANALYSES.claim(limit=2).keys)


def expire() -> None:
    Analysis.objects.filter(state="running").update(
        lease_until=timezone.now() - timedelta(seconds=1)
    )


def test_a_claim_leases_the_oldest_pending_rows_once(jobs: list[AnalysisJob]) -> None:
    keys = list(Analysis.objects.order_by("pk").values_list("pk", flat=True))
    assert [job.key for job in jobs] == keys[:2]
    assert ANALYSES.claim(limit=5).keys == keys[2:]
    assert ANALYSES.claim(limit=5).keys == []


def test_expired_leases_are_claimed_with_a_new_token(jobs: list[AnalysisJob]) -> None:
    expire()
    assert ANALYSES.claim(limit=2).keys == [job.key for job in jobs]
    assert ANALYSES.lock(jobs) == {}


def test_no_lease_expires_shortly_after_a_start_of_the_database(
    jobs: list[AnalysisJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    a_century = 100 * 365 * 86_400
    monkeypatch.setattr("apps.work.queue.RESTART_GRACE", a_century / ANALYSES.seconds)
    expire()
    assert len(ANALYSES.claim(limit=5).keys) == 1  # the one that was never claimed
    assert set(ANALYSES.lock(jobs)) == {job.key for job in jobs}


def test_rows_that_stopped_every_worker_are_exhausted(jobs: list[AnalysisJob]) -> None:
    Analysis.objects.filter(pk=jobs[0].key).update(attempts=MAX_ATTEMPTS)
    expire()
    claimed = ANALYSES.claim(limit=2)
    assert (claimed.keys, claimed.exhausted) == ([jobs[1].key], [jobs[0].key])


def test_extend_and_release_touch_only_leases_that_are_held(jobs: list[AnalysisJob]) -> None:
    lost, held = jobs
    Analysis.objects.filter(pk=lost.key).update(lease_token="00000000-0000-4000-8000-000000000000")
    expire()
    ANALYSES.extend(jobs)
    extended = Analysis.objects.filter(lease_until__gt=timezone.now())
    assert [analysis.pk for analysis in extended] == [held.key]

    ANALYSES.release(jobs)
    states = dict(Analysis.objects.values_list("pk", "state"))
    assert (states[lost.key], states[held.key]) == ("running", "pending")
    assert Analysis.objects.get(pk=held.key).attempts == 0
