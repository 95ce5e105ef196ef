"""Start the rollback of a run, only as far as its preview showed."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from apps.accounts.actors import Actor
from apps.analysis.effects import UNLESS_ASKED, SideEffects
from apps.core.errors import Conflict, Example, UserError
from apps.runs import starting
from apps.runs.control import UnableToChange
from apps.runs.models import Kind, Run
from apps.runs.rollbacks.work import RollbackPreview, Selection, list_restores, preview_rollback
from apps.runs.starting import question_hash, sign, unsign


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
    data = {
        "asked": _asked(preview.selection),
        "restore": preview.restore,
        "listed": preview.listed,
    }
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
        restore, listed = _checked(selection, agreed)
        if not restore:
            raise NothingToRestore
        estimate = starting.free_estimate(restore)
        return starting.begin_once(
            agreed["nonce"] if agreed else None,
            {**_fields(selection, side_effects), "estimate": estimate, "total": listed},
            by=by,
            verb="rollback.started",
            detail=lambda _: {"of": run.public_id, "conversations": restore},
            write=partial(starting.begin_list, write=list_restores),
        )


def _fields(selection: Selection, side_effects: SideEffects) -> dict[str, Any]:
    now = timezone.now()
    return {
        "kind": Kind.ROLLBACK,
        "of": selection.run,
        "channel": selection.run.channel,
        "filters": selection.filters(),
        "options": {"side_effects": side_effects.as_dict()},
        "plan": selection.run.plan,
        "as_of": now,
        "created_at": now,
    }


def _asked(selection: Selection) -> str:
    return question_hash(selection.run.public_id, selection.filters())


def _checked(selection: Selection, agreed: Mapping[str, Any] | None) -> tuple[int, int]:
    """Return how many results would be restored now, and of how many items.

    Where counting again takes too long, these are the agreed numbers.
    """
    if agreed and agreed["asked"] != _asked(selection):
        raise RollbackOutdated(
            "The filters changed after this preview. Review it again.", preview_rollback(selection)
        )
    known = agreed["listed"] if agreed else None
    now = starting.recount(lambda: preview_rollback(selection), known)
    if now is None:
        assert agreed is not None
        return agreed["restore"], agreed["listed"]
    if agreed and now.restore > agreed["restore"]:
        raise RollbackOutdated(
            f"Now {now.restore:,} results would be restored (was {agreed['restore']:,}). "
            "Review the new numbers.",
            now,
        )
    return now.restore, now.listed


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
