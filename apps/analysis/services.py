"""Asking for an analysis: a rerun that a person waits for, a first one, a restored one."""

import hashlib
from collections.abc import Iterable, Sequence
from decimal import Decimal

from django.db import connection, transaction
from django.db.models import Q

from apps.accounts import audit
from apps.accounts.actors import Actor
from apps.agents.models import AgentVersion
from apps.agents.plans import Plan, Step, plan_for_steps, plans_for_routes
from apps.conversations.models import AnalysisState, Conversation, Reason, Status, Trigger
from apps.core.errors import Conflict
from apps.core.tasks import enqueue

from .models import Analysis, Lane, State


class UnableToRerun(Conflict):
    """Base of the reasons for which a rerun is refused."""

    code = "not_analyzable"


class AlreadyRunning(UnableToRerun):
    code = "already_running"


class DraftInvalid(UnableToRerun):
    code = "draft_invalid"


_ALREADY_RUNNING = "An analysis of this conversation is already running. Wait for its result."

_NOT_ANALYZABLE = {
    Reason.NOT_ENDED: "It has not ended yet: there is nothing whole to analyse.",
    Reason.NOT_CONNECTED: "It never connected, so there is nothing to analyse.",
    Reason.NO_SPEECH: "Nobody spoke in it, so there is nothing to analyse.",
    Reason.EMPTY: "Its transcript is empty, so there is nothing to analyse.",
}


def why_not_analyzable(conversation: Conversation) -> Reason | None:
    """Why no model may be asked about it at all (product 3.5); None where one may."""
    if conversation.status in {Status.REGISTERED, Status.ONGOING}:
        return Reason.NOT_ENDED
    if conversation.status == Status.NOT_CONNECTED:
        return Reason.NOT_CONNECTED
    if not conversation.message_count:
        return Reason.EMPTY
    return None if conversation.has_speech else Reason.NO_SPEECH


def check_rerun(conversation: Conversation, *, at_work: bool) -> str:
    """The sentence with which a rerun of this conversation would be refused; empty where none.

    ``at_work``: an analysis of it waits or runs. Drafts are not looked at: see `plan_rerun`.
    """
    if reason := why_not_analyzable(conversation):
        return _NOT_ANALYZABLE[reason]
    return _ALREADY_RUNNING if at_work else ""


def plan_rerun(conversation: Conversation, *, version: AgentVersion | None = None) -> Plan:
    """What a rerun reads the conversation with: the drafts of the agents on its route.

    A named ``version`` takes the place of its own agent's draft in the chain (product 4.2).
    Raises UnableToRerun where its agent is not on the route.
    """
    if version is None:
        return plans_for_routes([conversation.route])[conversation.route]
    drafts = plans_for_routes([conversation.route])[conversation.route].versions
    if all(version.agent_id != draft.agent_id for draft in drafts):
        raise UnableToRerun(
            f"{version.agent.name} {version} cannot be used: its agent is not one of those whose "
            "prompts read this conversation."
        )
    steps: list[Step] = [
        ("both_agents" if i else "", version if version.agent_id == draft.agent_id else draft)
        for i, draft in enumerate(drafts)
    ]
    return plan_for_steps(steps)


def request_rerun(
    *, conversation: Conversation, by: Actor, version: AgentVersion | None = None
) -> Analysis:
    """Queue a rerun on the interactive lane and kick the engines.

    Raises AlreadyRunning, DraftInvalid or UnableToRerun with a sentence that says why (4.4).
    """
    if reason := why_not_analyzable(conversation):
        raise UnableToRerun(_NOT_ANALYZABLE[reason])
    plan = plan_rerun(conversation, version=version)
    if plan.problems:
        raise DraftInvalid(" ".join(plan.problems))
    analysis = Analysis(
        conversation=conversation,
        config=plan.config,
        agent_version=plan.version,
        columns=plan.columns.as_dict(),
        trigger=Trigger.RERUN,
        lane=Lane.INTERACTIVE,
        requested_by=by.label,
    )
    with transaction.atomic():
        made = Analysis.objects.bulk_create([analysis], ignore_conflicts=True)[0]
        stored = Analysis.objects.filter(public_id=made.public_id).first()
        if stored is None:
            raise AlreadyRunning(_ALREADY_RUNNING)
        audit.record(
            by=by,
            verb="analysis.rerun",
            target=conversation.public_id,
            detail={"analysis": stored.public_id, "config": plan.config.name},
        )
        enqueue("analysis.run_engine", lane=Lane.INTERACTIVE.value)
    return stored


def request_first(*, conversation_ids: Sequence[int], ask: bool = True) -> int:
    """Queue the first analysis of conversations that ended without a result, or went on after
    the one they have, which stands until the new one is there (product 2.4).

    Each is read with the versions that handled it. One that is not analysed keeps the reason;
    how many were queued is returned. Without ``ask`` only the reasons are written down.
    """
    waiting = (
        Conversation.objects.filter(pk__in=conversation_ids)
        .filter(Q(analysis_state=AnalysisState.NONE) | Q(stale=True))
        .select_related("agent_version__agent", "agent_version__config__model")
        .prefetch_related("transfers__to_version__agent", "transfers__to_version__config__model")
        .order_by("pk")  # two who ask for the same ones wait for each other in one order
    )
    plans: dict[tuple[tuple[str, int], ...], Plan] = {}
    queued: list[Analysis] = []
    reasons: list[tuple[int, Reason]] = []
    for conversation in waiting:
        plan = _plan_first(conversation, plans)
        if reason := _why_not_first(conversation, plan):
            reasons.append((conversation.pk, reason))
        else:
            queued.append(_first(conversation, plan))
    with transaction.atomic():
        made = _queue(queued) if ask else []
        _set_states([(pk, AnalysisState.PENDING, "") for pk in made])
        _set_states([(pk, _state_of(reason), reason) for pk, reason in reasons])
        if made:
            enqueue("analysis.run_engine", lane=Lane.LIVE.value)
    return len(made)


def _queue(analyses: Sequence[Analysis]) -> list[int]:
    """Store those whose conversations have none at work; the conversations that really wait now.

    One that another analysis reads already is left as it is: that of a backfill may be handed
    back, and nobody would end a wait that was only written down.
    """
    Analysis.objects.bulk_create(analyses, ignore_conflicts=True)
    stored = Analysis.objects.filter(public_id__in=[a.public_id for a in analyses])
    return list(stored.values_list("conversation_id", flat=True))


def _plan_first(conversation: Conversation, plans: dict[tuple[tuple[str, int], ...], Plan]) -> Plan:
    steps: list[Step] = [("", conversation.agent_version)]
    steps += [(t.setting, t.to_version) for t in conversation.transfers.all()]
    key = tuple((setting, version.pk) for setting, version in steps)
    if key not in plans:
        plans[key] = plan_for_steps(steps)
    return plans[key]


def _why_not_first(conversation: Conversation, plan: Plan) -> Reason | None:
    """The first reason that applies, of those that an operator can do something about last."""
    version = plan.version
    if reason := why_not_analyzable(conversation):
        return reason
    if version.agent.unconfigured or plan.problems:
        return Reason.UNCONFIGURED
    if not version.post_analysis_enabled or version.agent.deactivated_at:
        return Reason.DISABLED
    if not in_sample(conversation.public_id, version.sample_percent):
        return Reason.SAMPLED_OUT
    too_brief = (
        conversation.duration_ms is not None
        and conversation.duration_ms < version.min_seconds * 1000
    )
    if too_brief or conversation.message_count < version.min_messages:
        return Reason.TOO_SHORT
    return None


def in_sample(key: str, percent: Decimal) -> bool:
    """Whether a share of ``percent`` takes this id: always the same answer for the same id."""
    position = int.from_bytes(hashlib.sha256(key.encode()).digest()[:6], "big") % 100_000
    return position < percent * 1000


def _first(conversation: Conversation, plan: Plan) -> Analysis:
    return Analysis(
        conversation=conversation,
        config=plan.config,
        agent_version=plan.version,
        columns=plan.columns.as_dict(),
        trigger=Trigger.INITIAL,
        lane=Lane.LIVE,
        requested_by="system: first analysis",
    )


def _state_of(reason: Reason) -> AnalysisState:
    """Not ended may still come: *none*. All others were looked at and left: *skipped*."""
    return AnalysisState.NONE if reason == Reason.NOT_ENDED else AnalysisState.SKIPPED


def _set_states(rows: Iterable[tuple[int, str, str]]) -> None:
    values = list(rows)
    if not values:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE conversations_conversation c SET analysis_state = v.state,"
            " analysis_reason = v.reason"
            " FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS v(id, state, reason)"
            " WHERE c.id = v.id AND c.analysis_state = 'none'",
            [[r[0] for r in values], [str(r[1]) for r in values], [str(r[2]) for r in values]],
        )


def lanes_with_work() -> list[str]:
    """Lanes in which something waits, or was left by a worker that is gone."""
    rows = Analysis.objects.filter(
        state__in=[State.PENDING, State.RUNNING], lane__in=[Lane.INTERACTIVE, Lane.LIVE]
    )
    return list(rows.order_by().values_list("lane", flat=True).distinct())
