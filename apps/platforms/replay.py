"""Replay rejected payloads and lines after their cause is fixed.

One at once, many by a task: who asks for many marks the rows, and a worker takes them one by one
in the order in which they arrived. A worker that dies leaves marked rows, which the schedule finds.
"""

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import cast

from django.db import transaction
from django.utils import timezone

from apps.accounts import audit
from apps.accounts.actors import Actor
from apps.accounts.models import Role
from apps.agents.models import Agent
from apps.conversations.inputs import LineRefused
from apps.core.database import is_passing
from apps.core.errors import Conflict
from apps.core.tasks import enqueue
from apps.intake.files import DefaultAgents
from apps.intake.services import ERASED, IngestOptions, RawLine, store_one

from . import receiver
from .models import IntakePayload, PayloadQuerySet, PayloadState, UploadChannel
from .payloads import UNFINISHED

logger = logging.getLogger(__name__)

TASK = "platforms.replay"
QUEUE = "maintenance"
PER_TASK = 200
"""Replays of one task; then it makes room for the sweeps and asks for itself again."""
UNFINISHED_FOR = timedelta(minutes=5)
"""After this long, no process is still working on a payload: its processing was interrupted."""
FINISHED_WITHIN = timedelta(days=1)
_BY = Actor.system("intake")


class NotReplayable(Conflict):
    """It was accepted in the meantime, or was not stored in full."""

    code = "not_replayable"


@transaction.atomic
def replay(*, payload: IntakePayload, by: Actor) -> IntakePayload:
    """Ingest a rejected payload once more, as received; it is then accepted, or rejected again.

    One whose conversation was erased goes too, and comes back with the code ``erased``. Raises
    NotReplayable for an accepted or truncated one.
    """
    payload = _locked(payload.pk)
    if payload.state != PayloadState.REFUSED:
        raise NotReplayable("This payload was already accepted.")
    if payload.cut:
        raise NotReplayable(
            "This payload was too long to store in full, so it can’t be replayed. Send it again."
        )
    target = payload.source.public_id if payload.source else f"payload_{payload.pk}"
    payload = _again(payload, by)
    detail = {"state": payload.state, "code": payload.code}
    audit.record(by=by, verb="intake_payload.replayed", target=target, detail=detail)
    return payload


@transaction.atomic
def ask_replay(*, payloads: PayloadQuerySet, by: Actor) -> int:
    """Have all of these that are rejected and whole replayed by a worker; how many that is."""
    asked = payloads.replayable().update(replay_asked_by=by.label)
    if asked:
        audit.record(by=by, verb="intake_payload.replay_asked", detail={"payloads": asked})
        enqueue(TASK, queue=QUEUE)
    return asked


def replay_waiting(limit: int = PER_TASK) -> int:
    """Replay requested payloads, up to ``limit``. Return their number. Safe to run in parallel.

    An interrupted payload is replayed too, once: few platforms send again without a response.
    """
    _ask_for_unfinished()
    for done in range(limit):
        with transaction.atomic():
            waiting = IntakePayload.objects.to_replay().values_list("pk", flat=True)
            pk = waiting.select_for_update(skip_locked=True, no_key=True).first()
            if pk is None:
                return done
            payload = _locked(pk)
            by = Actor(payload.replay_asked_by, Role.ADMIN)
            try:
                with transaction.atomic():
                    _again(payload, by)
            except Exception as error:
                if is_passing(error):
                    raise  # it stays asked for, and the schedule comes again
                # One that cannot be replayed must not stand in the way of those behind it.
                logger.exception("Payload %s could not be replayed", pk)
                IntakePayload.objects.filter(pk=pk).update(
                    replay_asked_by="", replayed_at=timezone.now(), replayed_by=by.label
                )
    if IntakePayload.objects.to_replay().exists():
        enqueue(TASK, queue=QUEUE)
    return limit


def _ask_for_unfinished() -> None:
    now = timezone.now()
    left = IntakePayload.objects.replayable().filter(code=UNFINISHED, replayed_at=None)
    within = (now - FINISHED_WITHIN, now - UNFINISHED_FOR)
    left.filter(received_at__range=within).update(replay_asked_by=_BY.label)


def _locked(pk: int) -> IntakePayload:
    rows = IntakePayload.objects.select_for_update(of=("self",), no_key=True)
    return rows.select_related("source", "default_agent").get(pk=pk)


def _again(payload: IntakePayload, by: Actor) -> IntakePayload:
    if payload.state == PayloadState.REFUSED:
        if payload.source_id is None:
            _take_line(payload, by)
        else:
            payload = receiver.replay(payload=payload, by=by)
            if payload.code == ERASED:  # its conversation was, and the row with it
                return payload
    payload.replayed_at, payload.replayed_by = timezone.now(), by.label
    payload.replay_asked_by = ""
    payload.save(update_fields=["replayed_at", "replayed_by", "replay_asked_by"])
    return payload


def _take_line(payload: IntakePayload, by: Actor) -> None:
    line: RawLine = bytes(payload.raw) if payload.raw is not None else cast("RawLine", payload.body)
    try:
        with transaction.atomic():
            options = IngestOptions(by, payload.source_name, _default_agents(payload, by))
            stored = store_one(line, options)
    except LineRefused as refusal:
        payload.code, payload.reason = refusal.code[:50], refusal.message
    else:
        payload.state, payload.code, payload.reason = PayloadState.TAKEN, "", ""
        payload.conversation = stored.conversation
    payload.save(update_fields=["state", "code", "reason", "conversation"])


def _default_agents(payload: IntakePayload, by: Actor) -> Mapping[str, Agent]:
    """Return the default agents of a line that names none, as at its arrival."""
    if agent := payload.default_agent:
        return {agent.channel: agent}
    if payload.upload_channel == UploadChannel.FILE:
        return DefaultAgents(payload.source_name, by)
    return {}
