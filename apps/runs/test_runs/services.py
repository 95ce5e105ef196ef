"""What a test run reads, shown before it runs, and its start as it was agreed to.

Its conversations, with what each is read, and for how much, are behind the token of the estimate.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

from django.db import models, transaction
from django.utils import timezone

from apps.accounts.actors import Actor
from apps.agents.models import Agent, AgentVersion
from apps.agents.plans import Plan, plan_for_steps, plans_for_routes
from apps.analysis.estimates import Estimate, estimate
from apps.analysis.models import Analysis
from apps.conversations.filters import FilterSpec
from apps.conversations.models import Conversation, ConversationQuerySet
from apps.conversations.results import not_analyzable_reason
from apps.core.errors import Conflict
from apps.core.ids import public_id
from apps.core.sampling import Position
from apps.core.tasks import wake
from apps.llm.caps import BudgetReached, any_cap, check_priced, why_reached
from apps.llm.services import why_unreachable
from apps.runs import starting
from apps.runs.models import TRIAL_RETENTION, Kind, Run, RunItem
from apps.runs.starting import keep_erasures_out, sign, unsign

RUN_TRIALS = "runs.run_trials"
_ERASED = "One of these conversations was erased. Review the new estimate."
#: Most conversations that are looked at for those that can be read.
LOOKED_AT = 400


class Order(models.TextChoices):
    """Which of those that match are taken first."""

    NEWEST = "newest", "newest"
    SAMPLE = "sample", "a sample"


@dataclass(frozen=True, slots=True)
class Taken:
    """A conversation that will be read, and with what."""

    conversation: Conversation
    plan: Plan

    @property
    def estimate(self) -> Estimate:
        return estimate(self.plan, tokens=self.conversation.prompt_tokens_est, conversations=1)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Conversations that cannot be read, and the one reason why."""

    why: str
    conversations: tuple[str, ...]


@dataclass(frozen=True)
class Choice:
    """The conversations of a test run before it starts.

    ``looked_at`` counts the conversations that were examined to find them.
    """

    taken: tuple[Taken, ...]
    left_out: tuple[LeftOut, ...]
    looked_at: int

    @property
    def estimate(self) -> Estimate:
        return sum((item.estimate for item in self.taken), Estimate())

    @property
    def plans(self) -> list[Plan]:
        """The distinct plans that read them, the most used first."""
        used: dict[int, list[Plan]] = {}
        for item in self.taken:
            used.setdefault(item.plan.config.pk, []).append(item.plan)
        return [same[0] for same in sorted(used.values(), key=len, reverse=True)]

    @property
    def models(self) -> list[str]:
        """Names of the models that read."""
        return sorted({plan.config.model.name for plan in self.plans})

    @property
    def unpriced(self) -> list[str]:
        """Return the names of models without a price."""
        models = {plan.config.model for plan in self.plans}
        return sorted(m.name for m in models if not m.price_known and not m.is_local)

    @property
    def is_free(self) -> bool:
        """Whether it costs nothing at all, as with the model that comes with Debrief."""
        return bool(self.taken) and self.estimate.cost == Decimal(0)


def choose(
    spec: FilterSpec,
    *,
    agent: Agent | None,
    count: int,
    order: Order = Order.NEWEST,
    lacking_result: bool = False,
) -> Choice:
    """The first ``count`` conversations of a filter that can be read.

    With an ``agent``, its draft reads them, see `Readers`; without one, the drafts of each
    conversation's route do, as in a backfill. ``lacking_result`` leaves out those that have a
    result of exactly these prompts, as a backfill does.
    """
    readers = Readers(agent)
    taken: list[Taken] = []
    left_out: dict[str, list[str]] = {}
    looked_at = 0
    for batch in _batches(spec.queryset(), order, max(2 * count, 20)):
        plans = readers.plans([c.route for c in batch])
        for conversation in batch:
            looked_at += 1
            plan = plans[conversation.route]
            if why := _why_not(conversation, plan, readers):
                left_out.setdefault(why, []).append(conversation.public_id)
            elif not (lacking_result and _has_result_of(conversation, plan)):
                taken.append(Taken(conversation, plan))
            if len(taken) == count:
                break
        if len(taken) == count:
            break
    return Choice(
        tuple(taken),
        tuple(LeftOut(why, tuple(ids)) for why, ids in left_out.items()),
        looked_at,
    )


def _batches(rows: ConversationQuerySet, order: Order, size: int) -> Iterator[list[Conversation]]:
    """The rows in order, a few at a time and never without end."""
    if order == Order.SAMPLE:
        rows = rows.annotate(position=Position("public_id")).order_by("position", "pk")
    else:
        rows = rows.order_by("-sort_at", "-pk")
    rows = rows.select_related("agent", "contact").defer("analysis_data")
    for start in range(0, LOOKED_AT, size):
        batch = list(rows[start : start + size])
        if batch:
            yield batch
        if len(batch) < size:
            return


class Readers:
    """Find the plan that reads a conversation by its route, and check that its model is reachable.

    An agent's draft reads every conversation of its test run. If the agent is on the route, the
    draft is merged along it, as in a rerun; otherwise it reads alone. So the draft of an agent
    without conversations can be tested on those of another.
    """

    def __init__(self, agent: Agent | None) -> None:
        self._agent = agent
        self._alone: Plan | None = None
        self._plans: dict[str, Plan] = {}
        self._unreachable: dict[int, str] = {}

    def plans(self, routes: Sequence[str]) -> Mapping[str, Plan]:
        """The plan of each of these routes."""
        new = {route for route in routes if route not in self._plans}
        folded = {route for route in new if self._is_on(route)}
        self._plans |= plans_for_routes(folded) if folded else {}
        self._plans |= {route: self._draft_alone() for route in new - folded}
        return self._plans

    def refusal(self, plan: Plan) -> str:
        """Return why a plan can't read conversations, as a message; empty if it can."""
        if plan.problems:
            return " ".join(plan.problems)
        model = plan.config.model
        if model.pk not in self._unreachable:
            self._unreachable[model.pk] = why_unreachable(model.spec())
        return self._unreachable[model.pk]

    def _is_on(self, route: str) -> bool:
        return self._agent is None or str(self._agent.pk) in route.split("+")

    def _draft_alone(self) -> Plan:
        if self._alone is None:
            draft = AgentVersion.objects.drafts().with_config().get(agent=self._agent)
            self._alone = plan_for_steps([("", draft)])
        return self._alone


def _why_not(conversation: Conversation, plan: Plan, readers: Readers) -> str:
    if reason := not_analyzable_reason(conversation):
        return f"{str(reason.label).capitalize()}."
    return readers.refusal(plan)


def _has_result_of(conversation: Conversation, plan: Plan) -> bool:
    return (
        conversation.analysis_state == "succeeded"
        and not conversation.stale
        and conversation.analysis_config_id == plan.config.pk
    )


class TrialOutdated(Conflict):
    """Raised where a test run would no longer do what its estimate showed."""

    code = "trial_outdated"


@dataclass(frozen=True, slots=True)
class Agreed:
    """The token of an estimate, read back."""

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
    """Queue the test run of a token and wake the runners; a second click returns the same run.

    Raises TrialOutdated if the question, the prompts, or the conversations differ from the
    preview, and InvalidToken. Nothing is ever saved as an analysis.
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
    """Return the conversations of a token with their plans, which must equal the preview's."""
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
    """Delete test runs past their retention; return how many. The ledger keeps their costs."""
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
