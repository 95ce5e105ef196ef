"""Which conversations a trial reads, with what, and for how much: told before it runs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.db import models

from apps.agents.models import Agent, AgentVersion
from apps.agents.plans import Plan, plan_for_steps, plans_for_routes
from apps.analysis.estimates import Estimate, estimate
from apps.conversations.filters import FilterSpec
from apps.conversations.models import Conversation, ConversationQuerySet
from apps.conversations.results import not_analyzable_reason
from apps.core.sampling import Position
from apps.llm.services import why_unreachable

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
        return estimate(self.plan, tokens=self.conversation.prompt_tokens_est, sessions=1)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Conversations that cannot be read, and the one reason why."""

    why: str
    conversations: tuple[str, ...]


@dataclass(frozen=True)
class Choice:
    """What a trial would read. ``looked_at`` counts what was examined to find it."""

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
        """Models whose price nobody has set."""
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
    """What reads a conversation by its route, and whether its model can be asked at all.

    An agent's draft reads every conversation of a trial: folded along the route where the agent
    is on it, as a rerun does, and by itself where the agent is not. So the draft of an agent that
    has no conversations yet can be tried on those of another.
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
        """Why nothing can be read with a plan, in a sentence; empty where it can."""
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
