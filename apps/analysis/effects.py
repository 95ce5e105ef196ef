"""The side effects of an analysis, besides its result: which ones, and its webhook events.

A first analysis and an imported one notify all endpoints. A rerun, a backfill and a restored
result sends none, unless the one who started it asked for it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from django import forms

from apps.core.errors import Example, UserError
from apps.core.payloads import moment
from apps.core.schemas import Body
from apps.webhooks import outbox
from apps.webhooks.models import EventType
from apps.webhooks.outbox import NewEvent, conversation_part

from .models import Analysis, State, Webhooks


class InvalidSideEffects(UserError):
    """Raised for side effects that don't exist or can't be set so."""

    code = "invalid_side_effects"
    example = Example(
        "side_effects.webhooks must be one of off, changed, all, not “some”.",
        {
            "side_effects.webhooks": "side_effects.webhooks must be one of off, changed, all, "
            "not “some”."
        },
    )


class SideEffects(Body):
    """The side effects of a result."""

    contacts: bool = True
    """Whether analysis data mappings update contacts."""
    webhooks: Literal["off", "changed", "all"] = "off"

    def as_dict(self) -> dict[str, Any]:
        """Return both, as they are stored with a run."""
        return self.model_dump()

    def notifies(self, changed: Sequence[str], *, failed: bool = False) -> bool:
        """Return whether this result or failure is sent to webhooks. A failure changes nothing."""
        if self.webhooks == "changed":
            return bool(changed) and not failed
        return self.webhooks == "all"


UNLESS_ASKED = SideEffects()
"""The side effects of reruns, backfills and restored results. Default: none but contacts."""


def side_effects_of(options: Mapping[str, Any]) -> SideEffects:
    """Return the side effects in the stored options of a run."""
    return SideEffects.model_validate(options.get("side_effects") or {})


class SideEffectsForm(forms.Form):
    """The side effects, as a page asks for them."""

    webhooks = forms.ChoiceField(
        label="Send webhooks",
        choices=[
            (Webhooks.OFF, "nothing"),
            (Webhooks.CHANGED, "what changed"),
            (Webhooks.ALL, "every result"),
        ],
        required=False,
        initial=Webhooks.OFF,
        error_messages={
            "invalid_choice": "Webhooks must be off, changed, or all, not “%(value)s”."
        },
    )

    contacts = forms.ChoiceField(
        label="Update contacts",
        choices=[("on", "yes"), ("off", "no")],
        required=False,
        initial="on",
        error_messages={"invalid_choice": "Contacts must be on or off, not “%(value)s”."},
    )

    @property
    def side_effects(self) -> SideEffects:
        """Return the selection of a valid form. A missing one has its default."""
        webhooks = self.cleaned_data.get("webhooks") or Webhooks.OFF.value
        contacts = self.cleaned_data.get("contacts") != "off"
        return SideEffects.model_validate({"contacts": contacts, "webhooks": webhooks})


def emit_events(finished: Mapping[int, Sequence[str]]) -> None:
    """Write the events of analyses that are final now: analysis → names of its changed fields.

    The side effects of each analysis decide which events are written. Where no endpoint listens,
    this is one query. Call it in the transaction that records the analyses, under the locks of
    their conversations: an event exists if and only if its result does, and the events of a
    conversation are in the order of its results.
    """
    if not finished or not outbox.has_subscribers(
        EventType.CONVERSATION_ANALYZED, EventType.CONVERSATION_ANALYSIS_FAILED
    ):
        return
    rows = Analysis.objects.filter(pk__in=finished).order_by("pk")
    rows = rows.select_related(
        "config", "agent_version__agent", "conversation__contact", "conversation__attributes"
    ).defer("config__document", "raw_output", "agent_version__editor_document")
    outbox.write(
        [
            _event(analysis, finished[analysis.pk])
            for analysis in rows
            if _effects_of(analysis).notifies(finished[analysis.pk], failed=_failed(analysis))
        ]
    )


def _effects_of(analysis: Analysis) -> SideEffects:
    return SideEffects.model_validate(
        {"contacts": analysis.contacts, "webhooks": analysis.webhooks}
    )


def _failed(analysis: Analysis) -> bool:
    return analysis.state == State.FAILED


def _event(analysis: Analysis, changed: Sequence[str]) -> NewEvent:
    failed = _failed(analysis)
    kind = EventType.CONVERSATION_ANALYSIS_FAILED if failed else EventType.CONVERSATION_ANALYZED
    payload = failed_payload(analysis) if failed else analyzed_payload(analysis, changed)
    return NewEvent(
        type=kind,
        payload=payload,
        agent_id=analysis.agent_version.agent_id,
        conversation_id=analysis.conversation_id,
    )


def analyzed_payload(analysis: Analysis, changed: Sequence[str]) -> dict[str, Any]:
    """Return the body of ``conversation.analyzed``, with the keys in docs/interfaces.md's order.

    ``changed`` are the fields that differ from the result before; all that are filled where
    there was none.
    """
    return {
        **_head(EventType.CONVERSATION_ANALYZED, analysis),
        "analysis": analysis.ordered_output(),
        **_middle(analysis),
        "changed": list(changed),
        "missing_required": list(analysis.missing_required),
        "conversation": conversation_part(analysis.conversation),
    }


def failed_payload(analysis: Analysis) -> dict[str, Any]:
    """Return the body of ``conversation.analysis_failed``: an error instead of the values."""
    return {
        **_head(EventType.CONVERSATION_ANALYSIS_FAILED, analysis),
        "error_code": analysis.error_code,
        "error_message": analysis.error_message,
        **_middle(analysis),
        "conversation": conversation_part(analysis.conversation),
    }


def _head(kind: EventType, analysis: Analysis) -> dict[str, Any]:
    return {
        "event": kind.value,
        "conversation_id": analysis.conversation.public_id,
        "agent_id": analysis.agent_version.agent.public_id,
        "timestamp": moment(analysis.finished_at),
    }


def _middle(analysis: Analysis) -> dict[str, Any]:
    return {
        "trigger": analysis.trigger,
        "analysis_id": analysis.public_id,
        "agent_version": analysis.agent_version.number,
        "config": analysis.config.name if analysis.config else None,
    }
