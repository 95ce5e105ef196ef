"""What the conversation page shows, gathered in a handful of queries whatever was said in it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from django.db.models import OuterRef, Q, Subquery
from django.http import QueryDict
from django.urls import reverse

from apps.agents.diffs import Diff, diff_configs
from apps.agents.plans import Plan
from apps.conversations.models import Conversation, Transcript, Transfer, Trigger
from apps.conversations.results import not_analyzable_reason

from . import transcript
from .estimates import Estimate, estimate
from .models import Analysis, AnalysisQuerySet, State
from .services import plan_rerun

_RUN = re.compile(r"[A-Za-z0-9_]{1,60}")
TABS = {
    "analysis": "Analysis",
    "history": "History",
    "details": "Details",
    "contact": "Contact",
}

#: Most analyses that the History tab lists; nobody reads further, and compares by id if they do.
HISTORY_LIMIT = 200


@dataclass(frozen=True, slots=True)
class Links:
    """URLs of one conversation's pages. ``origin`` is the list's query that one came from."""

    conv_id: str
    origin: str = ""

    @property
    def run(self) -> str:
        """Return the public ID of the run that one came from, whose items have the order."""
        name = QueryDict(self.origin).get("run", "") if self.origin else ""
        return name if _RUN.fullmatch(name) else ""

    def to(self, name: str, *args: str, **params: object) -> str:
        """Return the path of ``analysis:name`` with these parameters and the origin."""
        given = {k: v for k, v in params.items() if v not in ("", None, ())}
        if self.origin:
            given["from"] = self.origin
        path = reverse(f"analysis:{name}", args=[self.conv_id, *args])
        return f"{path}?{urlencode(given, doseq=True)}" if given else path

    @property
    def analysis(self) -> str:
        return self.to("conversation")

    @property
    def history(self) -> str:
        return self.to("conversation", tab="history")

    @property
    def details(self) -> str:
        return self.to("conversation", tab="details")

    @property
    def rerun(self) -> str:
        return self.to("rerun")

    @property
    def changes(self) -> str:
        return self.to("changes")

    @property
    def messages(self) -> str:
        return self.to("messages")


CONVERSATIONS = Conversation.objects.select_related("agent", "agent_version", "contact")
"""Conversations as their pages show them."""


# The transcript


def messages_of(conversation: Conversation) -> list[transcript.Message]:
    """Return the messages; none if nothing was ever stored."""
    found = Transcript.objects.filter(conversation=conversation).values_list("messages", flat=True)
    return list(found.first() or [])


def scene_of(conversation: Conversation, transfers: Sequence[Transfer]) -> transcript.Scene:
    """Return what surrounds the transcript."""
    return transcript.Scene(
        channel=conversation.channel,
        started_at=conversation.started_at,
        user=_user_name(conversation),
        transfers=[
            transcript.Moved(t.after_message, t.to_version.agent.name, t.get_setting_display())
            for t in transfers
        ],
    )


def transfers_of(conversation: Conversation) -> list[Transfer]:
    """Return the transfers in order, with the agents that took over."""
    return list(conversation.transfers.select_related("to_version__agent"))


def _user_name(conversation: Conversation) -> str:
    if conversation.contact is not None and conversation.contact.first_name:
        return conversation.contact.first_name
    return "Caller" if conversation.channel == "voice" else "Customer"


def title_of(
    conversation: Conversation, messages: Sequence[transcript.Message] | None = None
) -> str:
    """Return who it was with: the contact's name, else the number of the other side.

    Where neither is known, what kind of conversation it is and its first words. Pass the first
    ``messages`` where they are in memory, and nothing is read.
    """
    contact = conversation.contact
    outbound = conversation.direction == "outbound"
    number = conversation.to_number if outbound else conversation.from_number
    if contact is not None:
        return contact.name or number or str(contact)
    if number:
        return number
    kind = "Call" if conversation.channel == "voice" else "Chat"
    words = transcript.first_words(messages_of(conversation) if messages is None else messages)
    return f"{kind}: {words}" if words else f"{kind} without words"


# The panel


@dataclass(frozen=True, slots=True)
class AnalysisStatus:
    """The analyses that the panel shows: the result, one in progress, the last failure since,
    and a first analysis that waits for its provider."""

    current: Analysis | None
    at_work: Analysis | None
    failed: Analysis | None
    waiting: Analysis | None = None


def analyses_of(conversation: Conversation) -> AnalysisQuerySet:
    """Return all analyses of a conversation, newest first, as pages show them."""
    rows = Analysis.objects.filter(conversation=conversation)
    return rows.select_related("conversation", "config__model", "agent_version__agent",
                               "agent_version__config").order_by("-pk")  # fmt: skip


def status_of(conversation: Conversation) -> AnalysisStatus:
    """Return the status of the conversation's analysis, in one query."""
    last = Analysis.objects.filter(conversation=OuterRef("conversation")).order_by("-pk")
    found = list(
        analyses_of(conversation).filter(
            Q(is_current=True)
            | Q(state__in=[State.PENDING, State.RUNNING])
            | Q(pk=Subquery(last.values("pk")[:1]))
        )
    )
    current = next((a for a in found if a.is_current), None)
    waiting = next((a for a in found if a.waits_for_provider), None)
    at_work = next((a for a in found if not a.is_final and a is not waiting), None)
    failed = found[0] if found and found[0].state == State.FAILED else None
    return AnalysisStatus(current, at_work, failed, waiting)


def previous_of(analysis: Analysis) -> Analysis | None:
    """Return the result that was current when this one was made, judging by the times."""
    if analysis.finished_at is None:
        return None
    rows = analyses_of(analysis.conversation).filter(
        state=State.SUCCEEDED, finished_at__lte=analysis.finished_at
    )
    return rows.exclude(pk=analysis.pk).order_by("-finished_at", "-pk").first()


def by_whom(analysis: Analysis) -> str:
    """Return what made an analysis and who requested it: ``rerun by Ada``."""
    trigger = Trigger(analysis.trigger)
    if trigger == Trigger.INITIAL:
        return "first analysis"
    if trigger == Trigger.IMPORTED:
        return "imported from another platform"
    return f"{trigger.label.lower()} by {analysis.requested_by}"


# What a rerun would do


@dataclass(frozen=True, slots=True)
class RerunPreview:
    """The config of a rerun, its differences from the current result's config, and its price.

    ``known`` is False where the current result was not made by a config.
    """

    plan: Plan
    estimate: Estimate
    diff: Diff
    known: bool


def preview_rerun(conversation: Conversation, current: Analysis | None) -> RerunPreview:
    """Compare the drafts on the conversation's route with the current result."""
    plan = plan_rerun(conversation)
    config = current.config if current else None
    differs = config is not None and config.pk != plan.config.pk
    return RerunPreview(
        plan=plan,
        estimate=estimate(plan, tokens=conversation.prompt_tokens_est, conversations=1),
        diff=diff_configs(config.parsed(), plan.document) if config and differs else Diff(),
        known=config is not None,
    )


def can_rerun(conversation: Conversation) -> bool:
    """Return whether the conversation can be analyzed at all."""
    return not_analyzable_reason(conversation) is None
