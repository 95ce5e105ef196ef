"""Store conversations: the one function under the API, files, and platforms."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.db import DatabaseError, IntegrityError, connection, transaction
from django.utils import timezone

from apps.agents.models import Agent, AgentVersion, Channel
from apps.contacts.models import Contact
from apps.core.database import (
    copy_in,
    give_keys,
    insert_with_parts,
    is_lost,
    is_passing,
    reason_to_reject,
)

from . import rows
from .inputs import ContactInput, ConversationInput, LineRefused
from .lookup import AgentBook, Route, contacts_for
from .merge import end_is_guessed, is_ahead, merge_list, merge_messages, merge_object, merge_scalars
from .models import (
    OPEN,
    AnalysisState,
    Attributes,
    Conversation,
    Reason,
    SearchText,
    Status,
    Transcript,
    Transfer,
)

GROUP = 200
"""Conversations per transaction; one that breaks is found by trying its group one by one."""


class StoreOutcome(StrEnum):
    ACCEPTED = "accepted"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Stored:
    """A line that was ingested. ``route``: who handled it, as the line names them.

    ``ended``: the conversation ended with this line, and was open or unknown before.
    """

    conversation: Conversation
    outcome: StoreOutcome
    route: Route
    ended: bool = False


Result = Stored | LineRefused
OnNew = Callable[[Conversation, ConversationInput, Route], None]
"""Called for each new conversation before it is written; may set its columns."""


@dataclass(frozen=True, slots=True)
class StoreTimes:
    """When lines arrive, and when the analysis of what ends with them is due: None, never by
    itself."""

    now: datetime
    analyze_at: datetime | None


def store_conversations(
    *,
    lines: Sequence[ConversationInput],
    default_agents: Mapping[str, Agent] | None = None,
    clock: StoreTimes | None = None,
    on_new: OnNew | None = None,
    guarded: bool = True,
) -> list[Result]:
    """Store many, in order; a rejected one never spoils its neighbors.

    Without a ``clock`` they arrive now, and no analysis of what ends is due automatically.
    ``on_new`` may be called for a conversation that is then rejected, or twice for a line.
    Where they aren't ``guarded`` by savepoints, an error of the database ends the transaction.
    """
    clock = clock or StoreTimes(timezone.now(), None)
    if not guarded:
        return _store_group(lines, default_agents, clock, on_new)
    results: list[Result] = []
    for start in range(0, len(lines), GROUP):
        group = lines[start : start + GROUP]
        try:
            with transaction.atomic():
                results += _store_group(group, default_agents, clock, on_new)
        except DatabaseError as error:
            if is_lost(error):
                raise
            results += [_store_alone(line, default_agents, clock, on_new) for line in group]
    return results


def _store_alone(
    line: ConversationInput,
    defaults: Mapping[str, Agent] | None,
    clock: StoreTimes,
    on_new: OnNew | None,
) -> Result:
    """One line in a savepoint of its own; twice, where someone stores the same in the meantime."""
    for last in (False, True):
        try:
            with transaction.atomic():
                return _store_group([line], defaults, clock, on_new)[0]
        except DatabaseError as error:
            if is_lost(error) or (last and is_passing(error)):
                raise
            if last or not (isinstance(error, IntegrityError) or is_passing(error)):
                reason = reason_to_reject(error)
                return LineRefused("not_storable", f"Couldn't store this conversation: {reason}.")
    raise AssertionError("unreachable")


def _store_group(
    lines: Sequence[ConversationInput],
    defaults: Mapping[str, Agent] | None,
    clock: StoreTimes,
    on_new: OnNew | None,
) -> list[Result]:
    book = AgentBook(lines, defaults)
    people = contacts_for([line.contact for line in lines if line.contact])
    stored = _existing(lines)
    results: dict[int, Result] = {}
    fresh: dict[int, tuple[ConversationInput, Route]] = {}
    seen: set[tuple[str, str]] = set()
    repeated: list[int] = []
    for at, line in enumerate(lines):
        key = (line.source, line.external_id)
        if line.external_id and key in seen:
            repeated.append(at)
            continue
        seen.add(key)
        try:
            route = book.route(line)
            if line.external_id and (conversation := stored.get(key)) is not None:
                results[at] = _merge(conversation, line, route, people, clock)
            else:
                fresh[at] = (line, route)
        except LineRefused as refusal:
            results[at] = refusal
    results |= zip(fresh, _insert(list(fresh.values()), people, clock, on_new), strict=True)
    for at in repeated:  # the same conversation again within the group: merged after the first
        results[at] = _store_group([lines[at]], defaults, clock, on_new)[0]
    return [results[at] for at in range(len(lines))]


_LOCKED = """
SELECT c.id FROM unnest(%s::text[], %s::text[]) AS given(source, external_id)
JOIN conversations_conversation c
  ON c.source = given.source AND c.external_id = given.external_id
ORDER BY c.id FOR NO KEY UPDATE OF c
"""


def _existing(lines: Sequence[ConversationInput]) -> dict[tuple[str, str], Conversation]:
    """Return the conversations that some lines speak of, locked, with what a merge compares."""
    keys = [(line.source, line.external_id) for line in lines if line.external_id]
    if not keys:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_LOCKED, [[source for source, _ in keys], [named for _, named in keys]])
        pks = [pk for (pk,) in cursor.fetchall()]
    if not pks:  # all are new, as nearly always
        return {}
    found = Conversation.objects.filter(pk__in=pks).select_related(
        "attributes", "transcript", "agent", "agent_version"
    )
    return {(c.source, c.external_id): c for c in found}


def _insert(
    fresh: Sequence[tuple[ConversationInput, Route]],
    people: Mapping[ContactInput, Contact],
    clock: StoreTimes,
    on_new: OnNew | None,
) -> Iterator[Stored]:
    made = [
        rows.new_conversation(
            line,
            route,
            _contact(line, people),
            now=clock.now,
            analyze_at=clock.analyze_at,
        )
        for line, route in fresh
    ]
    both = list(zip(made, fresh, strict=True))
    if on_new:
        for conversation, (line, route) in both:
            on_new(conversation, line, route)
    if len(made) != 1:
        give_keys(made)
    parts = [rows.parts_of(conversation, line) for conversation, (line, _) in both]
    if len(made) == 1:
        insert_with_parts(made[0], parts[0])
    else:
        copy_in(made)
        for table in zip(*parts, strict=True):
            copy_in(table)
    transfers = [t for c, (_, route) in both for t in rows.transfers_of(c, route)]
    if transfers:
        Transfer.objects.bulk_create(transfers)
    return (Stored(c, StoreOutcome.ACCEPTED, route, c.has_ended) for c, (_, route) in both)


def _contact(line: ConversationInput, people: Mapping[ContactInput, Contact]) -> Contact | None:
    return people.get(line.contact) if line.contact else None


def _merge(
    stored: Conversation,
    line: ConversationInput,
    route: Route,
    people: Mapping[ContactInput, Contact],
    clock: StoreTimes,
) -> Stored:
    """Merge a line into the conversation that is there."""
    if stored.channel != line.channel:
        raise LineRefused(
            "channel_mismatch",
            f"channel: {line.external_id} of {line.source} is a {stored.channel} conversation "
            f"already, not {line.channel}.",
            "channel",
        )
    opened = _open_again(stored, line)
    was_open = not stored.has_ended
    ahead = is_ahead(stored.status, line.status)
    changes = opened | merge_scalars(stored, line)
    if stored.contact_id is None and (contact := _contact(line, people)):
        changes["contact"] = contact
    changes |= _merge_attributes(stored, line, ahead=ahead)
    # The first agent is who answered: a later line adds transfers and does not change it.
    route = Route(stored.agent_version, route.steps)
    changes |= _merge_transfers(stored, route, ahead=ahead)
    messages = merge_messages(stored.transcript.messages, line.messages, ahead=ahead)
    said_more = messages != stored.transcript.messages
    if said_more:
        changes |= rows.facts_of(messages, changes.get("status", stored.status), clock.now)
    if not changes:
        return Stored(stored, StoreOutcome.UNCHANGED, route)
    _apply(stored, changes, clock, said_more=said_more, was_open=was_open)
    if said_more:
        Transcript.objects.filter(conversation=stored).update(messages=messages)
        stored.transcript.messages = messages
    if said_more or {"from_number", "to_number"} & changes.keys():
        words = rows.words_of(stored, messages)
        SearchText.objects.filter(conversation=stored).update(words=words)
    return Stored(stored, StoreOutcome.UPDATED, route, was_open and stored.has_ended)


def _open_again(stored: Conversation, line: ConversationInput) -> dict[str, Any]:
    """The columns that open a conversation again that was taken for ended and continues after all.

    Its end was a guess of Debrief's, from silence; the platform says that it is open, and more
    was said, or that a call is under way which had never begun. Whatever really ended stays so: a
    line with an earlier status is then a late one.
    """
    more = len(line.messages) > stored.message_count
    begun = stored.status == Status.NOT_CONNECTED and line.status == Status.ONGOING
    if not (end_is_guessed(stored) and line.status in OPEN and (more or begun)):
        return {}
    columns = rows.reopened(stored)
    for name, value in columns.items():
        setattr(stored, name, value)
    return columns


def _merge_attributes(
    stored: Conversation, line: ConversationInput, *, ahead: bool
) -> dict[str, Any]:
    kept = stored.attributes
    metadata = merge_object(kept.metadata, line.metadata, ahead=ahead)
    variables = merge_object(kept.dynamic_variables, line.dynamic_variables, ahead=ahead)
    if (metadata, variables) == (kept.metadata, kept.dynamic_variables):
        return {}
    Attributes.objects.filter(conversation=stored).update(
        metadata=metadata, dynamic_variables=variables
    )
    kept.metadata, kept.dynamic_variables = metadata, variables
    return {"attributes": True}


def _merge_transfers(stored: Conversation, route: Route, *, ahead: bool) -> dict[str, Any]:
    if not route.steps:
        return {}
    kept = [
        (t.after_message, t.to_version.agent_id, t.setting)
        for t in stored.transfers.select_related("to_version").order_by("position")
    ]
    given = [(s.after_message, s.version.agent_id, s.setting) for s in route.steps]
    merged = merge_list(kept, given, ahead=ahead)
    if merged == kept:
        return {}
    keep = len(kept) if merged[: len(kept)] == kept else 0
    stored.transfers.filter(position__gte=keep).delete()
    Transfer.objects.bulk_create(rows.transfers_of(stored, route)[keep:])
    return {"route": route.chain}


def _apply(
    stored: Conversation,
    changes: Mapping[str, Any],
    clock: StoreTimes,
    *,
    said_more: bool,
    was_open: bool,
) -> None:
    columns = {name: value for name, value in changes.items() if name != "attributes"}
    for name, value in columns.items():
        setattr(stored, name, value)
    if columns:
        stored.ended_at = columns["ended_at"] = rows.end_of(stored)
        times = {name: getattr(stored, name) for name in ("started_at", "ended_at", "duration_ms")}
        columns |= rows.times_of(times, stored.created_at)
    if said_more and stored.analyzed_at is not None:
        columns["stale"] = True
    if stored.analysis_state in rows.UNANALYZED and (said_more or "status" in columns):
        # It was left out, or failed, for what it was then: it is looked at again.
        reason = "" if stored.has_ended else Reason.NOT_ENDED.value
        columns |= {"analysis_state": AnalysisState.NONE.value, "analysis_reason": reason}
    if stored.channel == Channel.VOICE and not stored.has_ended:
        columns["last_message_at"] = clock.now  # whatever came, the call is not silent
    for name, value in columns.items():
        setattr(stored, name, value)
    columns |= _due(stored, clock, ended=was_open and stored.has_ended, said_more=said_more)
    if columns:
        stored.save(update_fields=list(columns))


def _due(
    stored: Conversation, clock: StoreTimes, *, ended: bool, said_more: bool
) -> dict[str, Any]:
    """When it is looked at next: for its analysis where it has ended, for silence where not."""
    before = {name: getattr(stored, name) for name in ("analyze_at", "idle_at")}
    if stored.has_ended:
        unread = stored.analysis_state == AnalysisState.NONE and stored.analyze_at is None
        if ended or said_more or unread:
            # More data does not put off what waits for a platform's result already.
            stored.analyze_at = _earlier(stored.analyze_at, clock.analyze_at)
        stored.idle_at = None
    else:
        is_chat = stored.channel == Channel.CHAT
        stored.idle_at = rows.idle_at(
            stored, last_version(stored).chat_idle_seconds if is_chat else 0
        )
    return {name: new for name, old in before.items() if (new := getattr(stored, name)) != old}


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((at for at in (one, other) if at), default=None)


def last_version(conversation: Conversation) -> AgentVersion:
    """The version that handles a conversation now: of its last transfer, else the first one."""
    last = conversation.transfers.select_related("to_version__agent").order_by("position").last()
    return last.to_version if last else conversation.agent_version


def stored_of(results: Iterable[Result]) -> list[Stored]:
    """Return those that were ingested."""
    return [result for result in results if isinstance(result, Stored)]
