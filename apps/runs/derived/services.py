"""Start the recomputation of a derived field, only as far as its preview showed."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from django.utils import timezone

from apps.accounts.actors import Actor
from apps.agents.models import DerivedField
from apps.analysis.effects import UNLESS_ASKED, SideEffects
from apps.core.errors import Conflict, Example, UserError
from apps.runs import starting
from apps.runs.derived.work import RecomputePreview, frozen, list_results, preview_recompute
from apps.runs.models import Kind, Run
from apps.runs.starting import unsign


class NothingToRecompute(UserError):
    """Raised where no past result would change."""

    code = "nothing_to_recompute"
    example = Example("All past results already have the values of “quality”.")


class RecomputeOutdated(Conflict):
    """Raised where the field changed, or more results would change than were shown."""

    code = "preview_outdated"
    example = Example("Now 12 results would change (was 10). Preview again.")


def start_recompute(
    *,
    field: DerivedField,
    by: Actor,
    token: str | None = None,
    side_effects: SideEffects = UNLESS_ASKED,
) -> Run:
    """Freeze the results and the definition, and queue the run; the same run for a second click.

    Raises NothingToRecompute, and RecomputeOutdated where more would change than was shown.
    """
    agreed = unsign(token, kind=Kind.DERIVED) if token else None
    if agreed and (same := Run.objects.filter(save_token=agreed["nonce"]).first()):
        return same
    preview = _checked(field, agreed)
    if not preview.changed:
        raise NothingToRecompute(f"All past results already have the values of “{field.name}”.")
    now = timezone.now()
    fields = {
        "kind": Kind.DERIVED,
        "channel": field.channel,
        "options": {"derived": frozen(field), "side_effects": side_effects.as_dict()},
        "as_of": now,
        "estimate": starting.free_estimate(preview.results),
        "total": preview.listed,
        "created_at": now,
    }
    return starting.begin_once(
        agreed["nonce"] if agreed else None,
        fields,
        by=by,
        verb="derived_run.started",
        detail=lambda run: {"field": field.name, "results": run.total},
        write=partial(starting.begin_list, write=list_results),
    )


def _checked(field: DerivedField, agreed: Mapping[str, Any] | None) -> RecomputePreview:
    """Count again, or return the agreed numbers where that takes too long."""
    shown = RecomputePreview(field, 0, 0, 0, field.name)
    if agreed and agreed["asked"] != shown.question:
        raise RecomputeOutdated("The derived field changed after this preview. Preview again.")
    known = agreed["listed"] if agreed else None
    now = starting.recount(lambda: preview_recompute(field), known)
    if now is None:
        assert agreed is not None
        counts = (agreed["listed"], agreed["results"], agreed["changed"])
        return RecomputePreview(field, *counts, field.name)
    if agreed and now.changed > agreed["changed"]:
        raise RecomputeOutdated(
            f"Now {now.changed:,} results would change (was {agreed['changed']:,}). Preview again."
        )
    return now
