"""What cannot be recorded: a failure of its own, never of its neighbors or of the queue."""

from collections.abc import Sequence

import pytest
from django.db import OperationalError, connection

from apps.accounts.actors import Actor
from apps.analysis import record
from apps.analysis.claims import AnalysisJob
from apps.analysis.model_call import AnalysisOutcome
from apps.analysis.models import Analysis, State
from apps.analysis.queues import RerunQueue
from apps.analysis.record import Recorded
from apps.analysis.services import request_rerun
from apps.conversations.models import Conversation
from apps.core.database import is_passing
from apps.llm.models import Usage
from tests.factories import make_agent, make_conversations

pytestmark = [pytest.mark.django_db]

BY = Actor.system("tests")


def two_jobs() -> list[AnalysisJob]:
    for conversation in make_conversations(make_agent(), 2):
        request_rerun(conversation=conversation, by=BY)
    return RerunQueue().claim(2)


def good(job: AnalysisJob, summary: str = "Short.") -> AnalysisOutcome:
    return AnalysisOutcome(job, output={"call_summary": summary}, requests=1)


def nothing(recorded: Sequence[Recorded]) -> None:
    """These queues have no rows of their own."""


def too_long(recorded: Sequence[Recorded]) -> None:
    """PostgreSQL's own limit, met by the results that say so."""
    if any((r.outcome.output or {}).get("call_summary") == "Too long." for r in recorded):
        with connection.cursor() as cursor:
            cursor.execute("SELECT length(repeat('word' || n, 1)::tsvector) FROM (VALUES (1)) v(n)")
            cursor.execute("SELECT repeat('x', 3000)::tsvector")


def test_a_limit_of_the_database_is_no_outage() -> None:
    one, two = two_jobs()
    record.record([good(one, "Too long."), good(two)], settle=too_long)
    states = dict(Analysis.objects.values_list("pk", "state"))
    assert states == {one.analysis_id: State.FAILED, two.analysis_id: State.SUCCEEDED}
    message = Analysis.objects.get(pk=one.analysis_id).error_message
    assert message == "Couldn’t save the result. The server log has the details."
    assert Usage.objects.count() == 2


@pytest.mark.parametrize("bad", ["\ud800", "a\x00b"])
def test_text_that_the_database_cannot_hold_fails_alone(bad: str) -> None:
    one, two = two_jobs()
    record.record([good(one, bad), good(two)], settle=nothing)
    states = dict(Analysis.objects.values_list("pk", "state"))
    assert states == {one.analysis_id: State.FAILED, two.analysis_id: State.SUCCEEDED}


def test_which_errors_pass() -> None:
    assert is_passing(OperationalError("server closed the connection"))
    assert not is_passing(ValueError("ours"))


def test_what_was_said_while_the_model_read_makes_the_result_stale() -> None:
    one, two = two_jobs()
    Conversation.objects.filter(pk=one.conversation_id).update(message_count=4)
    record.record([good(one), good(two)], settle=nothing)
    stale = dict(Conversation.objects.values_list("pk", "stale"))
    assert stale == {one.conversation_id: True, two.conversation_id: False}
