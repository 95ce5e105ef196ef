"""Storing conversations: the one way in for every door."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from apps.agents.models import Agent
from apps.contacts.models import Contact

from . import rows
from .copying import copy_in, give_keys
from .inputs import ContactInput, ConversationInput, LineRefused
from .merging import is_ahead, merge_list, merge_messages, merge_object, merge_scalars
from .models import (
    AnalysisState,
    Attributes,
    Conversation,
    SearchText,
    Transcript,
    Transfer,
)
from .people import contacts_for
from .routing import AgentBook, Route

GROUP = 200
"""Conversations per transaction; one that breaks is found by trying its group one by one."""


class Outcome(StrEnum):
    ACCEPTED = "accepted"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class Stored:
    """A line that was taken in. ``route`` tells who handled it, as the line names them."""

    conversation: Conversation
    outcome: Outcome
    route: Route


Result = Stored | LineRefused


def store_conversation(
    *, line: ConversationInput, default_agents: Mapping[str, Agent] | None = None
) -> Stored:
    """Store one conversation, or merge it into the one of the same source and external id.

    ``default_agents`` (by channel) answer for lines that name none. Raises LineRefused.
    """
    (result,) = store_conversations(lines=[line], default_agents=default_agents)
    if isinstance(result, LineRefused):
        raise result
    return result


def store_conversations(
    *,
    lines: Sequence[ConversationInput],
    default_agents: Mapping[str, Agent] | None = None,
) -> list[Result]:
    """Store many, in order; a refused one never spoils its neighbours (product 2.3)."""
    results: list[Result] = []
    for start in range(0, len(lines), GROUP):
        group = lines[start : start + GROUP]
        try:
            with transaction.atomic():
                results += _store_group(group, default_agents)
        except DatabaseError as error:
            if _is_lost(error):
                raise
            results += [_store_alone(line, default_agents) for line in group]
    return results


def _store_alone(line: ConversationInput, defaults: Mapping[str, Agent] | None) -> Result:
    """One line in a savepoint of its own; twice, where somebody stores the same meanwhile."""
    for last in (False, True):
        try:
            with transaction.atomic():
                return _store_group([line], defaults)[0]
        except DatabaseError as error:
            if _is_lost(error):
                raise
            if last or not isinstance(error, IntegrityError):
                return LineRefused("not_storable", f"The database refuses it: {_words(error)}.")
    raise AssertionError("unreachable")


def _is_lost(error: DatabaseError) -> bool:
    """Whether the connection is gone, rather than something refused."""
    state = str(getattr(error.__cause__, "sqlstate", None) or "08")
    return state.startswith(("08", "57"))


def _words(error: DatabaseError) -> str:
    return str(error).strip().splitlines()[0].rstrip(".")[:200]


def _store_group(
    lines: Sequence[ConversationInput], defaults: Mapping[str, Agent] | None
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
                results[at] = _merge(conversation, line, route, people)
            else:
                fresh[at] = (line, route)
        except LineRefused as refusal:
            results[at] = refusal
    results |= zip(fresh, _insert(list(fresh.values()), people), strict=True)
    for at in repeated:  # the same conversation again within the group: merged after the first
        results[at] = _store_group([lines[at]], defaults)[0]
    return [results[at] for at in range(len(lines))]


def _existing(lines: Sequence[ConversationInput]) -> dict[tuple[str, str], Conversation]:
    """The conversations that some lines speak of, locked, with what a merge compares."""
    by_source: dict[str, list[str]] = {}
    for line in lines:
        if line.external_id:
            by_source.setdefault(line.source, []).append(line.external_id)
    if not by_source:
        return {}
    asked = Q()
    for source, ids in by_source.items():
        asked |= Q(source=source, external_id__in=ids)
    found = (
        Conversation.objects.filter(asked)
        .select_related("attributes", "transcript", "agent", "agent_version")
        .select_for_update(of=("self",), no_key=True)
        .order_by("pk")
    )
    return {(c.source, c.external_id): c for c in found}


def _insert(
    fresh: Sequence[tuple[ConversationInput, Route]], people: Mapping[ContactInput, Contact]
) -> Iterator[Stored]:
    now = timezone.now()
    made = [
        rows.new_conversation(line, route, _contact(line, people), now) for line, route in fresh
    ]
    give_keys(made)
    copy_in(made)
    both = list(zip(made, fresh, strict=True))
    copy_in([rows.attributes_of(c, line) for c, (line, _) in both])
    copy_in([rows.transcript_of(c, line) for c, (line, _) in both])
    copy_in([rows.search_text_of(c, line.messages) for c, (line, _) in both])
    Transfer.objects.bulk_create(t for c, (_, route) in both for t in rows.transfers_of(c, route))
    return (Stored(c, Outcome.ACCEPTED, route) for c, (_, route) in both)


def _contact(line: ConversationInput, people: Mapping[ContactInput, Contact]) -> Contact | None:
    return people.get(line.contact) if line.contact else None


def _merge(
    stored: Conversation,
    line: ConversationInput,
    route: Route,
    people: Mapping[ContactInput, Contact],
) -> Stored:
    """Merge a line into the conversation that is there (product 2.3)."""
    if stored.channel != line.channel:
        raise LineRefused(
            "channel_mismatch",
            f"channel: {line.external_id} of {line.source} is a {stored.channel} conversation "
            f"already, not {line.channel}.",
            "channel",
        )
    ahead = is_ahead(stored.status, line.status)
    changes = merge_scalars(stored, line)
    if stored.contact_id is None and (contact := _contact(line, people)):
        changes["contact"] = contact
    changes |= _merge_attributes(stored, line, ahead=ahead)
    # The first agent is who answered: a later line adds transfers and does not change it (2.1).
    route = Route(stored.agent_version, route.steps)
    changes |= _merge_transfers(stored, route, ahead=ahead)
    messages = merge_messages(stored.transcript.messages, line.messages, ahead=ahead)
    said_more = messages != stored.transcript.messages
    if said_more:
        changes |= rows.facts_of(messages, changes.get("status", stored.status))
    if not changes:
        return Stored(stored, Outcome.UNCHANGED, route)
    _apply(stored, changes, said_more=said_more)
    if said_more:
        Transcript.objects.filter(conversation=stored).update(messages=messages)
    if said_more or {"from_number", "to_number"} & changes.keys():
        words = rows.words_of(stored, messages)
        SearchText.objects.filter(conversation=stored).update(words=words)
    return Stored(stored, Outcome.UPDATED, route)


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


def _apply(stored: Conversation, changes: Mapping[str, Any], *, said_more: bool) -> None:
    columns = {name: value for name, value in changes.items() if name != "attributes"}
    for name, value in columns.items():
        setattr(stored, name, value)
    if columns:
        times = {name: getattr(stored, name) for name in ("started_at", "ended_at", "duration_ms")}
        columns |= rows.times_of(times, stored.created_at)
    if said_more and stored.analyzed_at is not None:
        columns["stale"] = True  # product 2.4
    if stored.analysis_state == AnalysisState.SKIPPED and (said_more or "status" in columns):
        # It was left out for what it was then: whoever took it in asks again.
        columns |= {"analysis_state": AnalysisState.NONE, "analysis_reason": ""}
    for name, value in columns.items():
        setattr(stored, name, value)
    if columns:
        stored.save(update_fields=list(columns))


def stored_of(results: Iterable[Result]) -> list[Stored]:
    """Those that were taken in."""
    return [result for result in results if isinstance(result, Stored)]
