"""Backfills that have ended, with results and failures that a test names."""

from collections.abc import Sequence
from typing import Any

from apps.accounts.actors import Actor
from apps.analysis import record
from apps.analysis.model_call import AnalysisOutcome
from apps.llm.specs import TokenUsage
from apps.runs import services
from apps.runs.backfill_queue import BackfillQueue
from apps.runs.closing import close_finished
from apps.runs.freezing import run_freezing
from apps.runs.models import Run, State
from apps.runs.options import Options

BY = Actor.system("tests")
SOURCE = BackfillQueue()
_AT_ONCE = 1_000


def backfill(outputs: Sequence[dict[str, Any] | str]) -> Run:
    """A completed backfill that gets these values, or error codes, newest conversation first."""
    run = services.start(channel="voice", params={}, options=Options(include_analyzed=True), by=BY)
    run_freezing(seconds=600)
    by_conversation = dict(
        zip(run.items.order_by("pk").values_list("conversation", flat=True), outputs, strict=True)
    )
    while jobs := SOURCE.claim(_AT_ONCE):
        outcomes = []
        for job in jobs:
            usage = TokenUsage(1_000, 0, 10)
            output = by_conversation[job.conversation_id]
            ending: dict[str, Any] = {"error_code": output}
            if isinstance(output, dict):
                ending = {"output": output, "messages_read": len(job.messages)}
            outcomes.append(AnalysisOutcome(job, usage=usage, requests=1, **ending))
        record.record(outcomes, settle=SOURCE.settle)
    close_finished()
    run.refresh_from_db()
    assert run.state == State.COMPLETED
    return run
