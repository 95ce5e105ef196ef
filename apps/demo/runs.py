"""Two finished backfills of the demo: one with a report, and one that was rolled back.

They run through the services that every backfill takes. Only the model's part is written here:
what the draft would have changed in the results, by fixed rules.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from decimal import Decimal
from typing import Any

from apps.agents.models import Agent
from apps.analysis.claims import AnalysisJob
from apps.analysis.model_call import AnalysisOutcome
from apps.analysis.models import Analysis
from apps.analysis.record import record
from apps.conversations.models import Conversation, Trigger
from apps.llm.models import LanguageModel
from apps.runs.backfill_queue import BackfillQueue
from apps.runs.batches import do_batch
from apps.runs.closing import close_finished
from apps.runs.models import Run, RunItem
from apps.runs.options import Options
from apps.runs.rollbacks.services import start_rollback
from apps.runs.rollbacks.work import select
from apps.runs.services import start

from .costs import MODEL, usage_of
from .people import office_time, person

Values = dict[str, Any]
Edit = Callable[[int, Values], Values]
"""From the position of a conversation and its values to those that the draft gives."""

FAILED_AT = (17, 41)
"""Positions of the conversations whose request timed out."""
_GUESSES = ("wifi", "router_setup", "no_connection", "slow_speed")


@dataclass(frozen=True, slots=True)
class _Plan:
    """One backfill: of which agent, by whom, when it ended, and its changes."""

    agent: Agent
    by: str
    ended: datetime
    edit: Edit
    fails: Sequence[int] = ()


def add_runs(agents: Mapping[str, Agent], now: datetime) -> None:
    """Add the backfills, both of yesterday, after the drafts were saved.

    Where another run is active, there are none: its items must not be taken.
    """
    if Run.objects.active().exists():
        return
    today = now.date()
    _backfill(
        _Plan(
            agents["techline"],
            "Priya Vantongeren",
            office_time(today, 1, time(10, 30)),
            _stricter,
            FAILED_AT,
        )
    )
    undone = _backfill(
        _Plan(
            agents["order_help"],
            "Tobias Renn",
            office_time(today, 1, time(11, 20)),
            _gloomier,
        )
    )
    _roll_back(undone, by="Ines Calloway", at=office_time(today, 1, time(14, 5)))


def _stricter(position: int, values: Values) -> Values:
    """Sort most of “other” into categories, and count a call as successful less easily."""
    changed = dict(values)
    if values.get("issue_category") == "other" and position % 3:
        changed["issue_category"] = _GUESSES[position % len(_GUESSES)]
    if "engineer_booked" not in values and "issue_category" in values:
        changed["engineer_booked"] = False
    if values.get("call_successful") and position % 6 == 1:
        changed["call_successful"] = False
    if values.get("user_sentiment") == "Neutral" and position % 4 == 0:
        changed["user_sentiment"] = "Negative"
    return changed


def _gloomier(position: int, values: Values) -> Values:
    """Take a neutral tone for a negative one: what Ines rolls back."""
    changed = dict(values)
    if values.get("sentiment") == "neutral" and position % 5:
        changed["sentiment"] = "negative"
    if values.get("resolved") and position % 4 == 0:
        changed |= {"resolved": False, "follow_up_needed": True}
    return changed


def _backfill(plan: _Plan) -> Run:
    before = plan.ended.date().isoformat()
    run = start(
        channel=plan.agent.channel,
        params={
            "agent": [plan.agent.public_id],
            "analysis_state": ["succeeded"],
            "started_at__lt": [before],
        },
        options=Options(),
        by=person(plan.by),
    )
    source = BackfillQueue()
    jobs = source.claim(run.total)
    outcomes = _outcomes(jobs, plan)
    record(outcomes, settle=source.settle, now=plan.ended)
    close_finished()
    _date(run, plan.ended, minutes=9)
    _price(run)
    run.refresh_from_db()
    return run


def _outcomes(jobs: Sequence[AnalysisJob], plan: _Plan) -> list[AnalysisOutcome]:
    """Return the outcome of each job: the conversation's current result, edited."""
    spec = LanguageModel.objects.get(name=MODEL).spec()
    current = Analysis.objects.current().filter(
        conversation__in=[job.conversation_id for job in jobs]
    )
    results = {row.conversation_id: row for row in current.select_related("conversation")}
    ordered = sorted(jobs, key=lambda job: results[job.conversation_id].conversation.external_id)
    outcomes = []
    for position, job in enumerate(ordered):
        job.spec = spec
        before = results[job.conversation_id]
        outcome = AnalysisOutcome(
            job,
            requests=1,
            usage=usage_of(before),
            latency_ms=1_800 + position * 37 % 1_400,
            messages_read=len(job.messages),
            started_at=plan.ended - timedelta(minutes=8),
        )
        if position in plan.fails:
            outcome.error_code = "timeout"
            outcome.error_message = "The model timed out after 60 seconds."
        else:
            values = plan.edit(position, dict(before.output or {}))
            names = job.config.field_names()
            outcome.output = {name: values[name] for name in names if name in values}
        outcomes.append(outcome)
    return outcomes


def _roll_back(run: Run, *, by: str, at: datetime) -> None:
    rollback = start_rollback(selection=select(run, {}), by=person(by))
    while do_batch(rollback):
        pass
    close_finished()
    _date(rollback, at, minutes=1)
    made = Analysis.objects.filter(backfill_public_id=rollback.public_id)
    made.update(created_at=at, started_at=at, finished_at=at)
    Conversation.objects.filter(
        pk__in=made.values("conversation"), analysis_trigger=Trigger.RESTORED
    ).update(analyzed_at=at)


def _date(run: Run, ended: datetime, *, minutes: int) -> None:
    """Move a run that ran now to the time that it ended at in the demo."""
    began = ended - timedelta(minutes=minutes)
    Run.objects.filter(pk=run.pk).update(
        as_of=began, created_at=began, started_at=began, finished_at=ended
    )
    RunItem.objects.filter(run=run).update(finished_at=ended)
    made = Analysis.objects.filter(backfill_public_id=run.public_id)
    made.update(created_at=began)


def _price(run: Run) -> None:
    """Give the run the estimate that the hosted model would have had: a little high."""
    made = Analysis.objects.filter(backfill_public_id=run.public_id)
    rows = list(made.values_list("cost", "input_tokens", "output_tokens"))
    cost = sum((cost or Decimal(0) for cost, _, _ in rows), Decimal(0))
    shares = {"cost": "1.06", "cost_low": "0.94", "cost_high": "1.22"}
    estimate = {name: str(round(cost * Decimal(share), 6)) for name, share in shares.items()}
    Run.objects.filter(pk=run.pk).update(
        estimate={
            "input_tokens": round(sum(tokens or 0 for _, tokens, _ in rows) * 1.03),
            "output_tokens": round(sum(tokens or 0 for _, _, tokens in rows) * 1.09),
            **estimate,
            "seconds": 480.0,
        }
    )
