"""Start the rollback of a run, only as far as its preview showed."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from apps.accounts import audit
from apps.accounts.actors import Actor
from apps.analysis.effects import UNLESS_ASKED, SideEffects
from apps.conversations.filters import parse
from apps.core.errors import BadRequest, Conflict, Example, UserError

from .agreement import question_hash, sign, unsign
from .batches import start_soon
from .changes import PARAMETERS, read_change
from .estimates import free_estimate
from .models import Kind, Run
from .rollback import RollbackPreview, Selection, freeze, preview_rollback
from .services import UnableToChange


class NothingToRestore(UserError):
    """Raised where a rollback would restore nothing."""

    code = "nothing_to_restore"
    example = Example("Nothing to roll back: no result of this run is current.")


class RollbackOutdated(Conflict):
    """Raised where a rollback would do more than was shown. ``preview`` has the new numbers."""

    code = "preview_outdated"
    example = Example("Now 12 results would be restored (was 10). Review the new numbers.")

    def __init__(self, message: str, preview: RollbackPreview) -> None:
        super().__init__(message)
        self.preview = preview


def select(run: Run, given: Mapping[str, Any]) -> Selection:
    """Return the items that filters select. Raises FilterError and InvalidChange."""
    for name in ("sort", "columns"):
        if name in given:
            raise BadRequest(f"{name} is not a filter.", {name: "Not a filter."})
    change = read_change({n: _one(n, v) for n, v in given.items() if n in PARAMETERS})
    others = {name: value for name, value in given.items() if name not in PARAMETERS}
    return Selection(run, parse(run.channel, others).as_params() if others else {}, change)


def _one(name: str, value: Any) -> Any:
    if not isinstance(value, list):
        return value
    if len(value) != 1:
        raise BadRequest(f"{name} takes one value.", {name: "Takes one value."})
    return value[0]


def check_rollback(run: Run) -> None:
    """Raise UnableToChange for a run that can't be rolled back now."""
    if run.is_active:
        raise UnableToChange(
            "This run is still active. Cancel it or wait until it finishes, then roll it back."
        )
    if not run.can_roll_back:
        raise UnableToChange("This kind of run can’t be rolled back.")


def token_for(preview: RollbackPreview) -> str:
    """Return the token behind the button of a preview."""
    data = {"asked": _asked(preview.selection), "restore": preview.restore}
    return sign(data, kind=Kind.ROLLBACK)


def start_rollback(
    *,
    selection: Selection,
    by: Actor,
    token: str | None = None,
    side_effects: SideEffects = UNLESS_ASKED,
) -> Run:
    """Freeze what the filters select and queue it; the same run for a second click.

    With a ``token``, RollbackOutdated is raised where more would be restored than was shown.
    Raises NothingToRestore, and UnableToChange while the run is active.
    """
    run = selection.run
    agreed = unsign(token, kind=Kind.ROLLBACK) if token else None
    if agreed and (same := Run.objects.filter(save_token=agreed["nonce"], of=run).first()):
        return same
    with transaction.atomic():
        _one_at_a_time(run)
        if twin := _twin(selection):
            return twin
        check_rollback(run)
        preview = preview_rollback(selection)
        if agreed:
            _check(agreed, preview)
        if not preview.restore:
            raise NothingToRestore
        started = _store(preview, by, agreed, side_effects)
        audit.record(
            by=by,
            verb="rollback.started",
            target=started.public_id,
            detail={"of": run.public_id, "conversations": preview.restore},
        )
        start_soon()
    return started


def _store(
    preview: RollbackPreview,
    by: Actor,
    agreed: Mapping[str, Any] | None,
    side_effects: SideEffects,
) -> Run:
    run = preview.selection.run
    now = timezone.now()
    started = Run.objects.create(
        kind=Kind.ROLLBACK,
        of=run,
        channel=run.channel,
        filters=preview.selection.filters(),
        options={"side_effects": side_effects.as_dict()},
        plan=run.plan,
        as_of=now,
        estimate=free_estimate(preview.restore),
        save_token=agreed["nonce"] if agreed else secrets.token_hex(16),
        created_by=by.label,
        created_at=now,
    )
    started.total = freeze(preview.selection, started.pk)
    started.save(update_fields=["total"])
    return started


def _asked(selection: Selection) -> str:
    return question_hash(selection.run.public_id, selection.filters())


def _check(agreed: Mapping[str, Any], preview: RollbackPreview) -> None:
    if agreed["asked"] != _asked(preview.selection):
        raise RollbackOutdated("The filters changed after this preview. Review it again.", preview)
    if preview.restore > agreed["restore"]:
        raise RollbackOutdated(
            f"Now {preview.restore:,} results would be restored (was {agreed['restore']:,}). "
            "Review the new numbers.",
            preview,
        )


def _one_at_a_time(run: Run) -> None:
    """Let two people who roll back the same run wait for each other."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"rollback {run.public_id}"]
        )


def _twin(selection: Selection) -> Run | None:
    """Return an active rollback of the same items: two people clicked."""
    wanted: Mapping[str, Sequence[str]] = selection.filters()
    for other in Run.objects.active().filter(kind=Kind.ROLLBACK, of=selection.run):
        if other.filters == wanted:
            return other
    return None
