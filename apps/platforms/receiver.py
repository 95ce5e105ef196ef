"""Receive a webhook of a platform: verify, store, read, match the agent, ingest.

A payload and its conversation are stored in one transaction, before the platform gets its
response: what a dying process did not store, the platform sends again. Whatever comes twice, late,
or at the same instant, is one conversation.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from apps.accounts.actors import Actor
from apps.agents.models import Agent
from apps.agents.services import create_agent
from apps.conversations.inputs import ConversationInput, LineRefused
from apps.conversations.services import Stored
from apps.core.cipher import Unreadable, decrypt
from apps.core.errors import UserError
from apps.intake.parser import read_conversation, read_json
from apps.intake.platform_analysis import rule_named
from apps.intake.services import ERASED, IngestOptions, in_one_transaction, is_erased, store_one
from apps.llm.text import sanitise

from . import payloads
from .adapter import Arrived, BadSignature
from .models import IntakePayload, IntakeSource, PayloadState, SourceAgent
from .registry import PLATFORMS

logger = logging.getLogger(__name__)

NO_SECRET = "no_secret"  # noqa: S105 (a code)
Sender = Literal["known", "unknown"]


def receive(
    *,
    source: IntakeSource,
    headers: Mapping[str, str],
    body: bytes,
    now: datetime | None = None,
    gate: Callable[[Sender], None] | None = None,
) -> IntakePayload:
    """Ingest one request of a platform. Return the row with its outcome.

    Rejected ones are returned too, with ``code`` and ``reason``, for the response. ``gate`` is
    called with whether the sender is known before anything is written, and may raise.
    A payload of a conversation that was erased is stored nowhere; its row is not saved.
    """
    now = now or timezone.now()
    signed = {name.lower(): value for name, value in headers.items()}
    refusal = _unsigned(source, signed, body, now)
    if gate:
        gate("known" if refusal is None else "unknown")
    if refusal is not None:
        return payloads.keep_unsigned(
            source=source, body=body, headers=_of_signature(source, signed), refusal=refusal
        )
    try:
        arrived = PLATFORMS[source.kind].read(read_json(body))
    except LineRefused as error:
        return payloads.keep(source=source, body=body, refusal=error)
    if arrived.conversation is None:
        if is_erased(source=source.kind, external_id=arrived.external_id):
            return _erased(source)
        return payloads.keep_ignored(source=source, body=body, arrived=arrived)
    return _accept(source, body, arrived)


def _accept(source: IntakeSource, body: bytes, arrived: Arrived) -> IntakePayload:
    """Ingest a payload and store it, in one transaction. One that fails is stored alone."""

    def accept(guarded: bool) -> IntakePayload:  # noqa: FBT001 (as in_one_transaction calls it)
        stored = _ingest(source, arrived, _actor(source), guarded=guarded)
        return payloads.keep_taken(
            source=source, body=body, arrived=arrived, conversation=stored.conversation
        )

    try:
        return in_one_transaction(accept)
    except LineRefused as error:
        if error.code == ERASED:
            return _erased(source)
        return payloads.keep(source=source, body=body, refusal=error, arrived=arrived)
    except BaseException:  # also the signal by which a web process is stopped
        unfinished = LineRefused(
            payloads.UNFINISHED, "Processing was interrupted. Replay this payload."
        )
        payloads.keep(source=source, body=body, refusal=unfinished, arrived=arrived)
        raise


@transaction.atomic
def replay(*, payload: IntakePayload, by: Actor) -> IntakePayload:
    """Ingest a rejected payload once more, as received; it is then accepted, or rejected again.

    One that was rejected for its signature is verified again, by the current secret and the time
    of arrival: a replay accepts nothing that the receiver would have rejected.
    """
    source = payload.source
    assert source is not None, "an uploaded line is replayed elsewhere"
    body = payloads.body_of(payload)
    if payload.code in {BadSignature.code, NO_SECRET, Unreadable.code}:
        refusal = _unsigned(source, payloads.headers_of(payload), body, payload.received_at)
        if refusal is not None:
            return payloads.refuse(payload, refusal)
    try:
        arrived = PLATFORMS[source.kind].read(read_json(body))
    except LineRefused as error:
        return payloads.refuse(payload, error)
    payloads.label(payload, arrived)
    if arrived.conversation is None:
        return payloads.take(payload, None, arrived.note)
    return _take(payload, arrived, by)


def _unsigned(
    source: IntakeSource, headers: Mapping[str, str], body: bytes, now: datetime
) -> UserError | None:
    """Return why the sender isn't verified; None where the platform sent this."""
    if source.secret_set_at is None:
        return _Unset("This source has no secret yet. Set the secret, then replay.")
    try:
        PLATFORMS[source.kind].verify(decrypt(source.secret_encrypted), headers, body, now)
    except (BadSignature, Unreadable) as error:
        return error
    return None


class _Unset(BadSignature):
    code = NO_SECRET


def _of_signature(source: IntakeSource, headers: Mapping[str, str]) -> dict[str, str]:
    names = PLATFORMS[source.kind].headers
    return {name: headers[name][:1_000] for name in names if name in headers}


def _actor(source: IntakeSource) -> Actor:
    return Actor.system(f"intake {source.name}")


def _erased(source: IntakeSource) -> IntakePayload:
    """Told to the platform as taken, so that it stops sending; written nowhere."""
    note = "This conversation was erased, so the payload wasn’t stored."
    return IntakePayload(source=source, state=PayloadState.TAKEN, code=ERASED, note=note)


def _take(payload: IntakePayload, arrived: Arrived, by: Actor) -> IntakePayload:
    assert payload.source is not None, "an uploaded line is parsed elsewhere"
    try:
        with transaction.atomic():
            stored = _ingest(payload.source, arrived, by)
    except LineRefused as error:
        if error.code == ERASED:
            source = payload.source
            payload.delete()
            return _erased(source)
        return payloads.refuse(payload, error)
    return payloads.take(payload, stored.conversation, arrived.note)


def _ingest(source: IntakeSource, arrived: Arrived, by: Actor, *, guarded: bool = True) -> Stored:
    """Store the conversation of a payload, in the caller's transaction. Raises LineRefused."""
    rule = rule_named(source.platform_analysis, source.wait_minutes)
    line = _line(source, arrived)
    options = IngestOptions(
        by, source.kind, platform_analysis=replace(rule, final=arrived.final), guarded=guarded
    )
    return store_one(_with_our_agents(source, line, arrived.agent_names, by), options)


def _line(source: IntakeSource, arrived: Arrived) -> ConversationInput:
    body: dict[str, Any] = {**(arrived.conversation or {}), "analysis": arrived.platform_analysis}
    return read_conversation(body, source=source.kind)


# Their agents and ours


def _with_our_agents(
    source: IntakeSource, line: ConversationInput, names: Mapping[str, str], by: Actor
) -> ConversationInput:
    """Return the line with our agents in the place of the platform's.

    What names no agent belongs to one of the source's own: nothing is lost for want of a name.
    """
    theirs = [line.agent or source.public_id, *(t.to_agent for t in line.transfers)]
    named = {**names, source.public_id: source.name}
    ours = _mapped(source, theirs, line.channel)
    for one in theirs:
        if one not in ours:
            ours[one] = _unmapped(source, one, line.channel, named.get(one, ""), by)
    transfers = tuple(replace(t, to_agent=ours[t.to_agent]) for t in line.transfers)
    return replace(line, agent=ours[theirs[0]], transfers=transfers)


def _unmapped(source: IntakeSource, external_id: str, channel: str, name: str, by: Actor) -> str:
    """Return the ID of our agent with this ID at the platform, else of a new one; and map it."""
    agent = _of_that_id(external_id, channel) or _made(source, external_id, channel, name, by)
    SourceAgent.objects.get_or_create(
        source=source, external_id=external_id, defaults={"agent": agent}
    )
    return agent.public_id


@transaction.atomic
def _made(source: IntakeSource, external_id: str, channel: str, name: str, by: Actor) -> Agent:
    # Two deliveries may meet an agent at the same instant: one of them makes it.
    same = IntakeSource.objects.filter(kind=source.kind).order_by("pk")
    list(same.select_for_update(no_key=True).values_list("pk"))
    return _of_that_id(external_id, channel) or create_agent(
        name=_name(source, external_id, name),
        channel=channel,
        by=by,
        external_id=external_id,
        unconfigured=True,
    )


_MAPPED = """
SELECT m.external_id, a.public_id FROM platforms_sourceagent m
JOIN agents_agent a ON a.id = m.agent_id
WHERE m.source_id = %s AND m.external_id = ANY(%s) AND a.channel = %s
"""


def _mapped(source: IntakeSource, external_ids: Sequence[str], channel: str) -> dict[str, str]:
    """Return the IDs of our agents for the platform's, by the source's map.

    A platform's agent may speak and write, Debrief's only one of both: a conversation of the other
    channel than that of the map goes to an agent of its own.
    """
    with connection.cursor() as cursor:  # raw: it runs for every webhook
        cursor.execute(_MAPPED, [source.pk, list(external_ids), channel])
        return dict(cursor.fetchall())


def _of_that_id(external_id: str, channel: str) -> Agent | None:
    """Return the one of our agents that has this id at the platform, whatever its source."""
    found = Agent.objects.filter(external_id=external_id, channel=channel)
    in_use_first = F("deactivated_at").asc(nulls_first=True)  # PostgreSQL puts nulls last
    return found.order_by(in_use_first, "unconfigured", "pk").first()


def _name(source: IntakeSource, external_id: str, name: str) -> str:
    words = "".join(c if c.isprintable() else " " for c in sanitise(name)).strip()
    return (words or f"{source.get_kind_display()} agent {external_id}")[:200].strip()
