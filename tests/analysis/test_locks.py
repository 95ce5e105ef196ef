"""Writers of results meet: one waits for the other, and neither for ever."""

from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from apps.accounts.actors import Actor
from apps.analysis import claims, record
from apps.analysis.claims import AnalysisJob
from apps.analysis.model_call import AnalysisOutcome
from apps.analysis.models import Analysis, State
from apps.analysis.queues import RerunQueue
from apps.analysis.results import lock_conversations
from apps.analysis.services import request_rerun
from apps.conversations.models import Conversation
from apps.work.queue import MAX_ATTEMPTS
from tests.factories import make_agent, make_conversation
from tests.locks import Writer

pytestmark = [pytest.mark.django_db(transaction=True)]

BY = Actor.system("tests")
SOURCE = RerunQueue()


def a_job() -> AnalysisJob:
    request_rerun(conversation=make_conversation(make_agent()), by=BY)
    [job] = SOURCE.claim(1)
    return job


def good(job: AnalysisJob) -> AnalysisOutcome:
    return AnalysisOutcome(job, output={"call_summary": "Short."}, requests=1)


def test_recording_locks_the_conversation_before_the_analysis() -> None:
    """As importing and restoring do: the other way round each would wait for the other."""
    job = a_job()
    with transaction.atomic():
        lock_conversations([job.conversation_id])
        writer = Writer(lambda: record.record([good(job)], settle=SOURCE.settle))
        writer.wait_blocked()
        assert Analysis.objects.select_for_update(nowait=True).filter(pk=job.analysis_id).exists()
    writer.join()
    assert Conversation.objects.get().summary == "Short."


def test_giving_up_holds_no_analysis_while_it_waits_for_the_conversation() -> None:
    job = a_job()
    Analysis.objects.update(attempts=MAX_ATTEMPTS, lease_until=timezone.now() - timedelta(hours=1))
    with transaction.atomic():
        lock_conversations([job.conversation_id])
        writer = Writer(lambda: SOURCE.claim(1))
        writer.wait_blocked()
        assert Analysis.objects.select_for_update(nowait=True).filter(pk=job.analysis_id).exists()
    writer.join()
    given_up = Analysis.objects.get()
    assert (given_up.state, given_up.error_code) == (State.FAILED, "internal")
    assert given_up.finished_at is not None
    assert Conversation.objects.get().analysis_state == "failed"


def test_a_heartbeat_does_not_wait_for_what_is_being_recorded() -> None:
    job = a_job()
    with transaction.atomic():
        assert Analysis.objects.select_for_update().filter(pk=job.analysis_id).exists()
        writer = Writer(lambda: claims.ANALYSES.extend([job]))
        writer.join()
    before = Analysis.objects.get().lease_until
    claims.ANALYSES.extend([job])
    after = Analysis.objects.get().lease_until
    assert before is not None
    assert after is not None
    assert after > before
    connection.close()
