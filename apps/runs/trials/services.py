"""Starting, cancelling and throwing away trials."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.accounts.actors import Actor
from apps.agents.models import Agent
from apps.analysis.models import Analysis
from apps.conversations.models import Conversation
from apps.core.errors import Conflict
from apps.core.ids import public_id
from apps.core.tasks import wake
from apps.llm.caps import BudgetReached, any_cap, check_priced, why_reached
from apps.runs import starting
from apps.runs.models import TRIAL_RETENTION, Kind, Run, RunItem
from apps.runs.starting import keep_erasures_out, sign, unsign
from apps.runs.trials.selection import Choice, Readers, Taken

RUN_TRIALS = "runs.run_trials"
_ERASED = "One of these conversations was erased. Review the new estimate."


class TrialOutdated(Conflict):
    """What would run is no longer what was shown."""

    code = "trial_outdated"


@dataclass(frozen=True, slots=True)
class Agreed:
    """What was shown beside the button, read back."""

    nonce: str
    asked: str
    conversations: list[int]
    configs: list[str]
    left_out: list[dict[str, Any]]
    estimate: dict[str, Any]


def token_for(choice: Choice, *, asked: str) -> str:
    """The token behind the button: these conversations, with these prompts, for this price."""
    return sign(
        {
            "asked": asked,
            "conversations": [item.conversation.pk for item in choice.taken],
            "configs": [item.plan.config.sha256 for item in choice.taken],
            "left_out": [
                {"why": group.why, "conversations": list(group.conversations)}
                for group in choice.left_out
            ],
            "estimate": _estimate_json(choice),
        },
        kind=Kind.TRIAL,
    )


def start(*, channel: str, agent: Agent | None, token: str, asked: str, by: Actor) -> Run:
    """Queue what was agreed to and kick the engines; the same trial for a second click.

    Raises TrialOutdated where the question, the prompts or the conversations are not those that
    were shown, and InvalidToken. Nothing is saved as an analysis, now or later.
    """
    agreed = Agreed(**unsign(token, kind=Kind.TRIAL))
    if agreed.asked != asked or not agreed.conversations:
        raise TrialOutdated("This estimate is out of date. Review the new one.")
    same = Run.objects.trials().filter(save_token=agreed.nonce).first()
    if same is not None:
        return same
    taken = _as_agreed(agreed, agent)
    agents = {item.plan.version.agent.public_id for item in taken}
    if sentence := why_reached(agents):
        raise BudgetReached(sentence)
    if any_cap(agents):
        check_priced({item.plan.config.model for item in taken}, limit="spending cap")
    fields = {
        "kind": Kind.TRIAL,
        "public_id": public_id("try"),
        "total": len(taken),
        "as_of": timezone.now(),
        "agent": agent,
        "channel": channel,
        "estimate": agreed.estimate,
        "left_out": agreed.left_out,
        "created_at": timezone.now(),
    }
    with transaction.atomic():
        return starting.begin_once(
            agreed.nonce,
            fields,
            by=by,
            verb="trial.started",
            detail=lambda run: {
                "agent": agent.public_id if agent else None,
                "conversations": run.total,
                "cost": run.estimate["cost"],
            },
            write=partial(_add_items, taken=taken),
        )


def _as_agreed(agreed: Agreed, agent: Agent | None) -> list[Taken]:
    """The conversations of a token with what reads them now, which must be what was shown."""
    rows = Conversation.objects.in_bulk(agreed.conversations)
    if len(rows) < len(agreed.conversations):
        raise TrialOutdated(_ERASED)
    found = [rows[pk] for pk in agreed.conversations]
    readers = Readers(agent)
    plans = readers.plans([conversation.route for conversation in found])
    taken = [Taken(conversation, plans[conversation.route]) for conversation in found]
    if [item.plan.config.sha256 for item in taken] != agreed.configs:
        raise TrialOutdated("A draft changed after this estimate. Review the new one.")
    for item in taken:
        if refusal := readers.refusal(item.plan):
            raise TrialOutdated(refusal)
    return taken


def _add_items(trial: Run, *, taken: Sequence[Taken]) -> None:
    """Write the items of a new test run, and wake the runners of test runs."""
    keep_erasures_out()
    keys = [item.conversation.pk for item in taken]
    if Conversation.objects.filter(pk__in=keys).count() < len(keys):
        raise TrialOutdated(_ERASED)
    current = Analysis.objects.current().filter(conversation__in=keys)
    before = dict(current.values_list("conversation_id", "pk"))
    RunItem.objects.bulk_create(
        RunItem(
            run=trial,
            position=position,
            conversation=item.conversation,
            config=item.plan.config,
            agent_version=item.plan.version,
            previous_analysis_id=before.get(item.conversation.pk),
        )
        for position, item in enumerate(taken, start=1)
    )
    wake(RUN_TRIALS)


def purge(*, now: datetime) -> int:
    """Throw away trials that were kept long enough; how many. The ledger keeps what they cost."""
    over = Run.objects.trials().filter(created_at__lt=now - TRIAL_RETENTION)
    count = over.count()
    over.delete()
    return count


def work_waits() -> bool:
    """Whether any item waits, or was left by a worker that is gone."""
    return RunItem.objects.filter(run__in=Run.objects.trials().active()).unfinished().exists()


def _estimate_json(choice: Choice) -> dict[str, Any]:
    expected = choice.estimate
    return {
        "input_tokens": expected.input_tokens,
        "output_tokens": expected.output_tokens,
        "cost": _text(expected.cost),
        "low": _text(expected.low),
        "high": _text(expected.high),
    }


def _text(money: Decimal | None) -> str | None:
    return None if money is None else str(money)
