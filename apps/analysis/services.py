"""Request a rerun of one conversation: its checks, its config, and its price."""

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from apps.accounts import audit
from apps.accounts.actors import Actor
from apps.agents.models import AgentVersion
from apps.agents.plans import Plan, Step, plan_for_steps, plans_for_routes
from apps.conversations.models import Conversation, Trigger
from apps.conversations.results import not_analyzable_sentence
from apps.core.errors import Conflict, Example
from apps.core.tasks import wake
from apps.llm.caps import BudgetReached
from apps.llm.reservations import allowed, cap_balances, why_blocked
from apps.llm.specs import Priority

from .claims import give_way, load_configs
from .effects import UNLESS_ASKED, SideEffects
from .estimates import HighestCost
from .models import Analysis, State
from .results import lock_conversations


class UnableToRerun(Conflict):
    """Base of the reasons for which a rerun is rejected."""

    code = "not_analyzable"
    example = Example("This call can’t be analyzed: no speech.")


class AlreadyRunning(UnableToRerun):
    code = "already_running"
    example = Example("This conversation is already being analyzed. Try again when it finishes.")


class DraftInvalid(UnableToRerun):
    code = "draft_invalid"
    example = Example("The draft of Billing line names no model.")


_ALREADY_RUNNING = "This conversation is already being analyzed. Try again when it finishes."


def check_rerun(conversation: Conversation, *, at_work: bool) -> str:
    """Return why this conversation can't be rerun; empty if it can.

    ``at_work``: an analysis of it waits or runs. Drafts are not looked at: see `plan_rerun`.
    """
    return not_analyzable_sentence(conversation) or (_ALREADY_RUNNING if at_work else "")


def plan_rerun(conversation: Conversation, *, version: AgentVersion | None = None) -> Plan:
    """Return what a rerun reads the conversation with: the drafts of the agents on its route.

    A named ``version`` takes the place of its own agent's draft in the chain.
    Raises UnableToRerun where its agent is not on the route.
    """
    if version is None:
        return plans_for_routes([conversation.route])[conversation.route]
    drafts = plans_for_routes([conversation.route])[conversation.route].versions
    if all(version.agent_id != draft.agent_id for draft in drafts):
        raise UnableToRerun(
            f"{version.agent.name} {version} can’t be used here: the agent didn’t handle this "
            "conversation."
        )
    steps: list[Step] = [
        ("both_agents" if i else "", version if version.agent_id == draft.agent_id else draft)
        for i, draft in enumerate(drafts)
    ]
    return plan_for_steps(steps)


def request_rerun(
    *,
    conversation: Conversation,
    by: Actor,
    version: AgentVersion | None = None,
    side_effects: SideEffects = UNLESS_ASKED,
) -> Analysis:
    """Queue a rerun and wake the runners. Webhooks hear of its result only where
    ``side_effects`` say so.

    Raises AlreadyRunning, DraftInvalid, BudgetReached or UnableToRerun, and says why.
    """
    if sentence := not_analyzable_sentence(conversation):
        raise UnableToRerun(sentence)
    plan = plan_rerun(conversation, version=version)
    if plan.problems:
        raise DraftInvalid(" ".join(plan.problems))
    analysis = Analysis(
        conversation=conversation,
        config=plan.config,
        agent_version=plan.version,
        columns=plan.columns.as_dict(),
        **side_effects.as_dict(),
        trigger=Trigger.RERUN,
        priority=Priority.INTERACTIVE,
        requested_by=by.label,
    )
    with transaction.atomic():
        lock_conversations([conversation.pk])
        give_way([conversation.pk])
        _reserve(analysis)
        stored = _stored(analysis)
        audit.record(
            by=by,
            verb="analysis.rerun",
            target=conversation.public_id,
            detail={"analysis": stored.public_id, "config": plan.config.name},
        )
        wake("analysis.run_queue", priority=Priority.INTERACTIVE.value)
    return stored


def _reserve(analysis: Analysis) -> None:
    """Set money aside for a rerun that is about to be stored. Raise BudgetReached."""
    balances = cap_balances()
    if not balances or analysis.config is None:
        return
    agent = analysis.agent_version.agent.public_id
    config = load_configs({analysis.config.pk})[analysis.config.pk]
    highest = HighestCost(config, trigger=Trigger.RERUN)
    analysis.reserved = highest.of(analysis.conversation.prompt_tokens_est)
    if allowed(balances, [(agent, analysis.reserved)]) == [True]:
        return
    unknown = f"The price of {config.spec.name} is unknown, which a spending cap needs."
    raise BudgetReached(why_blocked(balances, agent) or f"{unknown} Set it under Models.")


def _stored(analysis: Analysis) -> Analysis:
    """Store a requested analysis and return it as requested. Raise AlreadyRunning."""
    Analysis.objects.bulk_create([analysis], ignore_conflicts=True)
    rows = Analysis.objects.select_related("conversation", "config__model", "agent_version__agent")
    stored = rows.filter(public_id=analysis.public_id).first()
    if stored is None:
        raise AlreadyRunning(_ALREADY_RUNNING)
    return stored


def priorities_with_work() -> list[str]:
    """Return the priorities of analyses that wait or run: a worker may have stopped with them."""
    rows = Analysis.objects.filter(
        Q(not_before=None) | Q(not_before__lte=timezone.now()),
        state__in=[State.PENDING, State.RUNNING],
        priority__in=[Priority.INTERACTIVE, Priority.LIVE],
    )
    return list(rows.order_by().values_list("priority", flat=True).distinct())
