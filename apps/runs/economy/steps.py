"""The steps of a shipment: upload, create, look, record, delete the files.

Each step is done by one worker at a time, under a lease on the shipment, and stored when it is
done. A worker that is killed in between leaves a step that is repeated: an upload replaces a file
of the same name, a batch is looked for by its name before one is created, and lines of items that
are recorded already are passed over.
"""

import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from itertools import islice
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from apps.analysis import reservations
from apps.analysis.recovery import pause_before
from apps.core.log_context import log_context
from apps.core.tasks import enqueue, send
from apps.llm.batch_api import QUEUE_FULL, BatchApi, BatchFault
from apps.llm.batch_lines import read_line
from apps.llm.failed_request import Fault
from apps.llm.models import LanguageModel
from apps.runs.lanes import wake_runners
from apps.runs.models import AT_PROVIDER, PauseReason, Run, Shipment, ShipmentState, State
from apps.runs.options import STANDARD
from apps.runs.recovery import pause_for, pause_run

from .contents import write_lines
from .packing import pack, queued_tokens, waiting_runs
from .results import fail_items, record_lines, return_items

logger = logging.getLogger(__name__)

TASK = "runs.ship"
SECONDS = 5.0
"""A task ends after this time and sends itself again, so that a worker can stop soon."""
LINES = 200
"""Lines that are recorded in one transaction."""
LONGEST_SECONDS = 600.0
"""The longest pause between two looks at a batch, or two attempts of a step."""
LATER_SECONDS = 15.0
"""A line whose conversation is being analyzed is tried again after this."""
MOST_EXPIRED = 2
"""After this many expired batches in a row, a run waits for a person or pays the full price."""
MOST_FAULTS = 5
"""After this many faults in a row nothing more is sent, and the run waits for its provider."""
MOST_CLEARING = 20
"""The deletion of files is tried this often."""


class LeaseLost(Exception):
    """Raised where another worker has taken a shipment over."""


def work_waits() -> bool:
    """Return whether a shipment has a step to do, or a run has items to pack."""
    return Shipment.objects.due().exists() or bool(waiting_runs())


def ship_soon() -> None:
    """Let a worker pack and send once the current transaction commits."""
    enqueue(TASK)


def hurry(run: Run) -> None:
    """Look at the batches of a run that was stopped at once: they are to be canceled."""
    Shipment.objects.filter(run=run, state__in=AT_PROVIDER).update(next_at=timezone.now())
    ship_soon()


def run_steps(*, seconds: float = SECONDS) -> None:
    """Pack waiting items and do the steps that are due, until nothing is left or time is up."""
    until = time.monotonic() + seconds
    for run in waiting_runs():
        with log_context({"run_id": run.public_id}):
            pack(run)
    while (shipment := _take()) is not None:
        with log_context({"run_id": shipment.run.public_id}):
            do_step(shipment)
        if time.monotonic() >= until:
            send(TASK, queue=None, kwargs={})
            return


def _take() -> Shipment | None:
    """Lease the shipment that has been due the longest."""
    with transaction.atomic():
        rows = Shipment.objects.due().select_for_update(skip_locked=True, no_key=True)
        shipment = rows.order_by("next_at").first()
        if shipment is None:
            return None
        shipment.lease_token = uuid4()
        shipment.lease_until = _lease_end()
        shipment.save(update_fields=["lease_token", "lease_until"])
    return shipment


def _lease_end() -> Any:
    return timezone.now() + timedelta(seconds=settings.BATCH_LEASE_SECONDS)


def do_step(shipment: Shipment) -> None:
    """Do the next step of a leased shipment and store its outcome."""
    step = _STEPS[ShipmentState(shipment.state)]
    try:
        try:
            with BatchApi(
                shipment.model.spec(), upload_seconds=settings.BATCH_LEASE_SECONDS
            ) as api:
                step(shipment, api)
        except BatchFault as error:
            _met(shipment, error.fault)
    except LeaseLost:
        logger.warning("Another worker has taken over %s", shipment.public_id)


def _save(shipment: Shipment, *, wait: float = 0.0, release: bool = True, **changes: Any) -> None:
    """Store a step, and the pause before the next one. Raises LeaseLost."""
    changes |= {"next_at": timezone.now() + timedelta(seconds=wait)}
    changes |= (
        {"lease_token": None, "lease_until": None} if release else {"lease_until": _lease_end()}
    )
    held = Shipment.objects.filter(pk=shipment.pk, lease_token=shipment.lease_token)
    if not held.update(**{"faults": 0, **changes}):
        raise LeaseLost
    for name, value in changes.items():
        if name not in {"lease_token", "lease_until"}:
            setattr(shipment, name, value)


def _is_stopped(run: Run) -> bool:
    """Return whether nothing of a run may be sent any longer."""
    return not Run.objects.claimable().filter(pk=run.pk).exists()


def _is_called_back(run: Run) -> bool:
    """Return whether a person stopped a run, so that its batches are canceled."""
    rows = Run.objects.filter(pk=run.pk)
    by_user = rows.filter(state=State.PAUSED, reason=PauseReason.BY_USER)
    return (by_user | rows.filter(state=State.CANCELLING)).exists()


# --- Steps


def _upload(shipment: Shipment, api: BatchApi) -> None:
    """Write the file and upload it; items of a run that was stopped go back."""
    if _is_stopped(shipment.run):
        _end(shipment)
        return
    with tempfile.TemporaryFile() as file:
        contents = write_lines(shipment, file)
        _save(shipment, release=False, faults=shipment.faults)
        fail_items(shipment, contents.failed)
        return_items(shipment, item_ids=contents.left)
        if not contents.lines:
            _end(shipment)
            return
        file_id = api.upload(shipment.public_id, file)
    _save(shipment, state=ShipmentState.UPLOADED, input_file=file_id, requests=contents.lines)


def _create(shipment: Shipment, api: BatchApi) -> None:
    """Start the batch of an uploaded file."""
    if _is_stopped(shipment.run):
        _end(shipment)
        return
    report = api.create(shipment.public_id, shipment.input_file)
    _remember(shipment, has_batches=True)
    _save(
        shipment,
        state=ShipmentState.SENT,
        batch_id=report.id,
        status=report.status,
        sent_at=timezone.now(),
        queue_tokens=queued_tokens(shipment.model),
        wait=settings.BATCH_POLL_SECONDS,
    )


def _remember(shipment: Shipment, *, has_batches: bool) -> None:
    """Store whether a provider has a Batch API, for the next backfill."""
    rows = LanguageModel.objects.filter(pk=shipment.model_id)
    rows.exclude(has_batches=has_batches).update(has_batches=has_batches)


def _look(shipment: Shipment, api: BatchApi) -> None:
    """Look how far a batch is; cancel it where its run was stopped."""
    report = api.get(shipment.batch_id)
    called_back = shipment.is_canceling
    if not report.has_ended and not called_back and _is_called_back(shipment.run):
        report, called_back = api.cancel(shipment.batch_id), True
    if not report.has_ended:
        _save(
            shipment,
            status=report.status,
            answered=report.completed or 0,
            is_canceling=called_back,
            wait=_poll_seconds(shipment),
        )
        return
    _save(
        shipment,
        state=ShipmentState.RECORDING,
        status=report.status,
        answered=report.completed or 0,
        output_file=report.output_file,
        error_file=report.error_file,
        error_code=report.error_code[:40],
        error_message=report.error_message,
        ended_at=timezone.now(),
        release=False,
    )
    _record(shipment, api)


def _poll_seconds(shipment: Shipment) -> float:
    """Return the pause before the next look: a twentieth of the age of the batch."""
    first = float(settings.BATCH_POLL_SECONDS)
    age = (timezone.now() - (shipment.sent_at or timezone.now())).total_seconds()
    return min(LONGEST_SECONDS, max(first, age / 20))


def _record(shipment: Shipment, api: BatchApi) -> None:
    """Record the files of a batch that has ended, and queue the rest of its items again."""
    later: set[int] = set()
    for lines in _chunks(shipment, api):
        chunk = record_lines(shipment, lines)
        later |= chunk.later
        _save(
            shipment,
            release=False,
            recorded=F("recorded") + chunk.recorded,
            returned=F("returned") + chunk.returned,
        )
        if chunk.pause is not None:
            pause_run(shipment.run_id, chunk.pause)
    shipment.refresh_from_db()
    return_items(shipment, keep=later)
    if later:
        _save(shipment, wait=LATER_SECONDS)
        return
    _consider(shipment)
    _end(shipment)


def _chunks(shipment: Shipment, api: BatchApi) -> Iterator[list[dict[str, Any]]]:
    for file_id in (shipment.output_file, shipment.error_file):
        if file_id:
            lines = (line for text in api.lines(file_id) if (line := read_line(text)))
            while chunk := list(islice(lines, LINES)):
                yield chunk


def _consider(shipment: Shipment) -> None:
    """Decide how a run continues after a batch that wasn't completed."""
    run = shipment.run
    if shipment.status == "failed" and shipment.error_code != QUEUE_FULL:
        pause_for(run.pk, PauseReason.BATCHES, shipment.error_message or "The batch failed.")
    elif shipment.error_code == QUEUE_FULL and shipment.requests == 1:
        message = f"The provider’s batch queue is full. It says: {shipment.error_message}"
        pause_for(run.pk, PauseReason.BATCHES, message)
    elif _keeps_expiring(shipment):
        if run.options.get("batch_expired") == STANDARD:
            run.items.filter(state="pending").update(direct=True)
            wake_runners(run.options)
            return
        message = f"{MOST_EXPIRED} batches in a row weren’t completed within 24 hours."
        pause_for(run.pk, PauseReason.BATCHES, message)


def _keeps_expiring(shipment: Shipment) -> bool:
    """Return whether the last batches of a run have expired, since it was started or resumed."""
    run = Run.objects.get(pk=shipment.run_id)
    since = run.resumed_at or run.created_at
    ended = Shipment.objects.filter(run=run, ended_at__gt=since).order_by("-ended_at")
    last = list(ended.values_list("status", flat=True)[:MOST_EXPIRED])
    return last == ["expired"] * MOST_EXPIRED


def _end(shipment: Shipment) -> None:
    """Free what a shipment still holds; its files are deleted next."""
    _save(shipment, release=False)
    return_items(shipment)
    reservations.set_free(shipment.public_id)
    _save(shipment, state=ShipmentState.CLEARING)


def _clear(shipment: Shipment, api: BatchApi) -> None:
    """Delete the files of a shipment: they hold transcripts and results."""
    for file_id in (shipment.input_file, shipment.output_file, shipment.error_file):
        if file_id:
            api.delete_file(file_id)
    _save(shipment, state=ShipmentState.CLOSED)


_STEPS: Mapping[ShipmentState, Callable[[Shipment, BatchApi], None]] = {
    ShipmentState.PREPARED: _upload,
    ShipmentState.UPLOADED: _create,
    ShipmentState.SENT: _look,
    ShipmentState.RECORDING: _record,
    ShipmentState.CLEARING: _clear,
}


# --- Faults


def _pause(shipment: Shipment, fault: Fault) -> None:
    """Pause the run of a shipment that can't be sent."""
    run_id, message = shipment.run_id, fault.message
    if BatchFault(fault).is_unsupported:
        _remember(shipment, has_batches=False)
        message = f"The provider of {shipment.model.name} has no Batch API. It says: {message}"
        pause_for(run_id, PauseReason.BATCHES, message)
    elif fault.pause is not None:
        pause_for(run_id, fault.pause.value, message, retry_after=fault.retry_after)
    else:
        reason = PauseReason.PROVIDER_DOWN if fault.transient else PauseReason.BATCHES
        pause_for(run_id, reason, message, retry_after=fault.retry_after)


def _met(shipment: Shipment, fault: Fault) -> None:
    """Handle a fault of the provider, for a shipment and its run."""
    faults = shipment.faults + 1
    state = shipment.state
    logger.warning("A step of %s failed: %s", shipment.public_id, fault.code)
    if state in {ShipmentState.PREPARED, ShipmentState.UPLOADED}:
        gives_up = faults >= MOST_FAULTS or not fault.transient
        if gives_up or fault.pause is not None:
            _pause(shipment, fault)
            _end(shipment)
            return
    is_gone = fault.status == 404
    if state in {ShipmentState.SENT, ShipmentState.RECORDING} and is_gone:
        message = f"The provider no longer has the batch or its files. It says: {fault.message}"
        pause_for(shipment.run_id, PauseReason.BATCHES, message)
        _end(shipment)
        return
    if state == ShipmentState.CLEARING and faults >= MOST_CLEARING:
        message = f"Couldn’t delete its files at the provider. It says: {fault.message}"
        _save(shipment, state=ShipmentState.CLOSED, error_message=message)
        return
    wait = max(pause_before(faults, longest=LONGEST_SECONDS), fault.retry_after or 0.0)
    _save(shipment, wait=wait, faults=faults, error_message=fault.message)
