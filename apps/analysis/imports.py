"""Results that cost no request: imported from a platform, or restored from the history."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.accounts import audit
from apps.accounts.actors import Actor
from apps.agents.models import AgentVersion
from apps.conversations.derived.evaluation import ResultFacts
from apps.conversations.models import Conversation, Transfer, Trigger
from apps.conversations.results import NewResult, write_result_columns
from apps.core.errors import Conflict

from .effects import UNLESS_ASKED, SideEffects, emit_events
from .models import Analysis, State
from .results import (
    NewOutput,
    add_derived,
    changed_fields,
    column_row,
    distribute,
    lock_conversations,
    retire_current,
)


@dataclass(frozen=True, slots=True)
class Imported:
    """A result that another platform made: the flat values, and the facts of its making."""

    conversation: Conversation
    values: Mapping[str, Any]
    model: str = ""
    at: datetime | None = None


class UnableToRestore(Conflict):
    """The analysis has no values that could become current."""

    code = "not_restorable"


def record_imported(results: Sequence[Imported], *, by: Actor) -> list[Analysis]:
    """Store results that another platform made and make them current (trigger ``imported``).

    One analysis per conversation; a group costs the same few statements as a single one. Version
    and columns are those of the last agent on the route, as with a result of our own.
    """
    now = timezone.now()
    versions = _last_versions([result.conversation for result in results])
    rows = [
        Analysis(
            conversation=result.conversation,
            agent_version=versions[result.conversation.pk],
            columns=versions[result.conversation.pk].columns.as_dict(),
            trigger=Trigger.IMPORTED,
            output=dict(result.values),
            field_order=list(result.values),
            model=result.model,
            requested_by=by.label,
            finished_at=result.at or now,
        )
        for result in results
    ]
    return _make_current(rows)


def _last_versions(conversations: Sequence[Conversation]) -> dict[int, AgentVersion]:
    """Return the version that handled each conversation at its end."""
    first = {conversation.pk: conversation.agent_version for conversation in conversations}
    transfers = Transfer.objects.filter(conversation__in=first).select_related("to_version")
    last = {t.conversation_id: t.to_version for t in transfers.order_by("position", "pk")}
    return first | last


def restore(*, analysis: Analysis, by: Actor, side_effects: SideEffects = UNLESS_ASKED) -> Analysis:
    """Make an earlier result current again, as a new analysis with trigger ``restored``.

    No model is asked and nothing is paid. The restored analysis keeps its place in the history.
    Webhooks are sent only where ``side_effects`` say so.
    Raises UnableToRestore for a failed analysis and for the current one.
    """
    with transaction.atomic():
        lock_conversations([analysis.conversation_id])
        _check_restorable(analysis)
        stored = _make_current([_copy(analysis, by, side_effects)])[0]
        audit.record(
            by=by,
            verb="analysis.restored",
            target=analysis.conversation.public_id,
            detail={"analysis": stored.public_id, "from": analysis.public_id},
        )
    return stored


def _check_restorable(analysis: Analysis) -> None:
    """Raise UnableToRestore unless the locked row can be restored: a second click can't."""
    analysis.refresh_from_db(fields=["state", "is_current"])
    if analysis.state != State.SUCCEEDED:
        raise UnableToRestore("You can only restore successful results.")
    again = Analysis.objects.current().filter(restored_from=analysis).exists()
    if analysis.is_current or again:
        raise UnableToRestore("This is already the current result.")


def _copy(analysis: Analysis, by: Actor, side_effects: SideEffects) -> Analysis:
    return Analysis(
        **side_effects.as_dict(),
        conversation=analysis.conversation,
        config_id=analysis.config_id,
        agent_version=analysis.agent_version,
        columns=analysis.columns,
        trigger=Trigger.RESTORED,
        restored_from=analysis,
        output=analysis.output,
        field_order=analysis.field_order,
        missing_required=analysis.missing_required,
        truncated=analysis.truncated,
        messages_read=analysis.messages_read,
        model=analysis.model,
        requested_by=by.label,
        finished_at=timezone.now(),
    )


@transaction.atomic
def _make_current(rows: list[Analysis]) -> list[Analysis]:
    """Insert finished results and make each the current result of its conversation."""
    ids = [row.conversation_id for row in rows]
    lock_conversations(ids)
    previous = retire_current(ids)
    for row in rows:
        row.state, row.is_current = State.SUCCEEDED, True
    stored = Analysis.objects.bulk_create(rows)
    write_result_columns([_columns(row) for row in stored])
    add_derived([_new_output(row) for row in stored if row.trigger == Trigger.IMPORTED])
    emit_events({row.pk: _changes(row, previous) for row in stored})
    distribute([_new_result(row, row.conversation_id in previous) for row in stored])
    return stored


def _new_output(row: Analysis) -> NewOutput:
    if row.output is None:
        row.output = {}
    version = row.agent_version
    facts = ResultFacts(
        row.conversation_id, row.conversation.channel, version.agent_id, row.field_order
    )
    return NewOutput(row.pk, facts, row.output)


def _new_result(row: Analysis, replaces: bool) -> NewResult:  # noqa: FBT001
    return NewResult(
        conversation_id=row.conversation_id,
        agent_id=row.agent_version.agent_id,
        analysis=row.public_id,
        values=row.output or {},
        trigger=row.trigger,
        by=row.requested_by,
        contacts=row.contacts,
        notifies=row.webhooks != "off",
        replaces=replaces,
    )


def _changes(row: Analysis, previous: Mapping[int, tuple[int, dict[str, Any]]]) -> tuple[str, ...]:
    """Return the names of the fields that differ from the previous current result."""
    _, before = previous.get(row.conversation_id, (None, {}))
    return tuple(changed_fields(before, row.ordered_output()))


def _columns(row: Analysis) -> dict[str, Any]:
    return column_row(
        conversation_id=row.conversation_id,
        output=row.output or {},
        columns=row.columns,
        missing_required=row.missing_required,
        config_id=row.config_id,
        trigger=row.trigger,
        model=row.model,
        cost=None,
        at=row.finished_at or timezone.now(),
        messages=None if row.truncated else row.messages_read,
    )
