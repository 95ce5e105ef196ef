"""Explain why a conversation has no result, and what would change that."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from django.utils import timezone

from apps.agents.models import Agent, AgentVersion
from apps.agents.plans import problems_of
from apps.conversations.models import API_SOURCE, AnalysisState, Conversation, Reason
from apps.conversations.results import NOT_ANALYZABLE
from apps.conversations.services import last_version
from apps.core import display
from apps.llm.errors import ErrorCode, failure_sentence

from .models import Analysis

WayOut = Literal["", "rerun", "settings", "prompts", "agent", "models", "budgets", "close"]


@dataclass(frozen=True, slots=True)
class MissingReason:
    """Why a conversation has no result: a code for programs, a message for people.

    ``way_out`` is what would solve it: a rerun, the agent's post analysis settings, its prompts,
    the agent itself, the models, the budgets, closing the conversation, or nothing. ``agent`` is
    whose settings decided. ``shared``: others were left out for the same reason, and a backfill
    takes them all.
    """

    reason: str
    sentence: str
    way_out: WayOut = ""
    agent: Agent | None = None
    shared: bool = False


_WAYS_OUT: dict[str, WayOut] = {
    Reason.NOT_ENDED: "close",
    Reason.DISABLED: "settings",
    Reason.SAMPLED_OUT: "settings",
    Reason.TOO_SHORT: "settings",
    Reason.UNCONFIGURED: "prompts",
    Reason.WAITING_FOR_PLATFORM: "rerun",
    Reason.NO_PLATFORM_ANALYSIS: "rerun",
    ErrorCode.AUTH: "models",
    ErrorCode.QUOTA: "models",
    ErrorCode.SCHEMA_REJECTED: "prompts",
    ErrorCode.TRANSCRIPT_TOO_LONG: "settings",
}


def _held_by_cap(conversation: Conversation, kind: str) -> MissingReason:
    """Return why a first analysis waits: a cap is reached, or its model has no price."""
    waiting = Analysis.objects.open().filter(conversation=conversation)
    found = waiting.select_related("config__model").first()
    way_out: WayOut = "budgets"
    why, when = "a spending cap is reached", "when the cap resets or an admin raises it"
    if found and found.config and not found.config.model.price_known:
        why = f"the price of {found.config.model.name} is unknown, which a spending cap needs"
        way_out, when = "models", "when an admin sets the price"
    sentence = f"{kind.capitalize()} not analyzed yet: {why}. The analysis starts automatically "
    agent = conversation.agent
    return MissingReason(Reason.BUDGET, f"{sentence}{when}.", way_out, agent, shared=True)


NOT_YET = "none"
"""Code of a conversation that has ended and was not asked about."""


def missing_code(state: str, reason: str, *, is_open: bool) -> str:
    """Return why there is no result, as one code: a `Reason`, an `ErrorCode`, or a state."""
    if state in {AnalysisState.PENDING, AnalysisState.RUNNING}:
        return state
    if state == AnalysisState.FAILED or reason in ErrorCode.values:
        return reason or ErrorCode.INTERNAL.value
    if reason in Reason.values:
        return reason
    return Reason.NOT_ENDED.value if is_open else NOT_YET


def missing_label(code: str) -> str:
    """Return a code of `missing_code` in a few words."""
    if code in Reason.values:
        return str(Reason(code).label)
    if code in ErrorCode.values:
        label = str(ErrorCode(code).label)
        return f"failed: {label[0].lower()}{label[1:]}"
    return {AnalysisState.PENDING.value: "queued", AnalysisState.RUNNING.value: "running"}.get(
        code, "not analyzed yet"
    )


def missing_result_reason(
    conversation: Conversation, failed: Analysis | None = None
) -> MissingReason:
    """Return why there is no result. ``failed`` is the last failure, whose message is added.

    Where settings of the agent decided, they are read, by one or two more queries.
    """
    kind = "call" if conversation.channel == "voice" else "chat"
    reason = conversation.analysis_reason
    if failed is not None and failed.waits_for_provider:
        sentence = f"{kind.capitalize()} not analyzed yet: {failed.waiting_sentence}"
        agent = conversation.agent
        return MissingReason(Reason.WAITING_FOR_PROVIDER, sentence, "rerun", agent, shared=True)
    code = missing_code(conversation.analysis_state, reason, is_open=not conversation.has_ended)
    if code == AnalysisState.PENDING and reason == Reason.BUDGET:
        return _held_by_cap(conversation, kind)
    if code in {AnalysisState.PENDING, AnalysisState.RUNNING}:
        return MissingReason(code, f"Analyzing this {kind}…")
    if code in ErrorCode.values:
        said = failure_sentence(code, failed.error_message if failed else "")
        way_out = _WAYS_OUT.get(code, "rerun")
        return MissingReason(
            code, f"The analysis failed: {said}", way_out, conversation.agent, shared=True
        )
    if code in Reason.values:
        return _left_out(conversation, Reason(code), kind)
    if conversation.analyze_at is not None:
        return MissingReason("", f"This {kind} just ended. Analysis will start shortly.")
    return MissingReason("", f"This {kind} hasn’t been analyzed yet.", "rerun", shared=True)


def _left_out(conversation: Conversation, reason: Reason, kind: str) -> MissingReason:
    why = MissingReason(
        reason,
        str(reason.label),
        _WAYS_OUT.get(reason, ""),
        conversation.agent,
        shared=reason not in NOT_ANALYZABLE,
    )
    if reason == Reason.NOT_ENDED:
        why = replace(why, sentence=_not_ended(conversation))
    elif reason == Reason.WAITING_FOR_PLATFORM:
        why = replace(why, sentence=_awaited(conversation))
    elif reason == Reason.NO_PLATFORM_ANALYSIS:
        why = replace(why, sentence=_none_came(conversation))
    elif reason in {
        Reason.DISABLED,
        Reason.SAMPLED_OUT,
        Reason.TOO_SHORT,
        Reason.UNCONFIGURED,
    }:
        why = _by_settings(conversation, why)
    return replace(why, sentence=f"Not analyzed: {why.sentence}.")


def _not_ended(conversation: Conversation) -> str:
    said = str(Reason.NOT_ENDED.label)
    if conversation.channel == "voice" and conversation.last_message_at is not None:
        said += f". Silent since {_local(conversation.last_message_at)}"
    if conversation.idle_at is not None:
        return f"{said}. It will end at {_at(conversation)} if there are no new messages"
    if conversation.channel == "chat" and conversation.source == API_SOURCE:
        where = "there or on this page"
        return f"{said}. It was opened through the API and ends when you close it {where}"
    return said


def _awaited(conversation: Conversation) -> str:
    said = str(Reason.WAITING_FOR_PLATFORM.label)
    if conversation.analyze_at is None:
        return (
            f"{said}. This source uses only the platform’s analysis. If none arrives, rerun the "
            "analysis"
        )
    return f"{said} until {_at(conversation)}. After that, Debrief runs its own"


def _none_came(conversation: Conversation) -> str:
    said = str(Reason.NO_PLATFORM_ANALYSIS.label)
    if conversation.disconnection_reason == "voicemail":
        said = "the call went to voicemail, and the platform’s analysis of it isn’t a result"
    return f"{said}. This source uses only the platform’s analysis. Rerun it to get a result"


def _at(conversation: Conversation) -> str:
    """Return when something happens to the conversation automatically, in local time."""
    at = conversation.idle_at or conversation.analyze_at
    return _local(at) if at else ""


def _local(at: datetime) -> str:
    return f"{timezone.localtime(at):%-I:%M %p on %b %-d}"


def _by_settings(conversation: Conversation, why: MissingReason) -> MissingReason:
    """Explain a reason by the settings of the version, which may have changed since."""
    version = last_version(conversation)
    why = replace(why, agent=version.agent)
    if why.reason == Reason.DISABLED:
        return _disabled(version, why)
    if why.reason == Reason.UNCONFIGURED:
        return _unconfigured(version, why)
    if why.reason == Reason.SAMPLED_OUT and version.sample_percent < 100:
        percent = f"{version.sample_percent.normalize():f}"
        sentence = f"not in the agent’s {percent}% sample"
        return replace(why, sentence=sentence)
    if why.reason == Reason.TOO_SHORT:
        return replace(why, sentence=_too_short(conversation, version))
    return why


def _disabled(version: AgentVersion, why: MissingReason) -> MissingReason:
    if version.agent.deactivated_at is not None:
        return replace(why, sentence="the agent is deactivated", way_out="agent")
    if version.post_analysis_enabled:
        sentence = "automatic analysis was off when it ended (it’s on now)"
        return replace(why, sentence=sentence, way_out="rerun")
    return why


def _unconfigured(version: AgentVersion, why: MissingReason) -> MissingReason:
    if version.agent.unconfigured:
        sentence = f"{why.sentence}. It will be analyzed when an editor saves the draft"
        return replace(why, sentence=sentence)
    if problems := problems_of(version):
        return replace(why, sentence=f"the agent couldn’t be run. {problems[0].rstrip('.')}")
    sentence = "the agent wasn’t set up when it ended (it is now)"
    return replace(why, sentence=sentence, way_out="rerun")


def _too_short(conversation: Conversation, version: AgentVersion) -> str:
    duration = conversation.duration_ms
    if duration is not None and duration < version.min_seconds * 1000:
        lasted = display.timespan(duration // 1000)
        minimum = display.timespan(version.min_seconds)
        return f"it lasted {lasted}, below the agent’s minimum of {minimum}"
    if conversation.message_count < version.min_messages:
        messages = "message" if conversation.message_count == 1 else "messages"
        return (
            f"it has {conversation.message_count} {messages}, below the agent’s minimum of "
            f"{version.min_messages}"
        )
    return str(Reason.TOO_SHORT.label)
