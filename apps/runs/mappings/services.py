"""Start a run that applies mappings, only as far as its preview showed."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from django.utils import timezone

from apps.accounts.actors import Actor
from apps.core.errors import Conflict, Example, UserError
from apps.runs import starting
from apps.runs.mappings.work import (
    MappingPreview,
    estimate_summaries,
    list_mappings,
    preview_mappings,
)
from apps.runs.models import Kind, Run
from apps.runs.starting import unsign


class NothingToApply(UserError):
    """Raised where no conversation with a result and a contact matches."""

    code = "nothing_to_apply"
    example = Example("No conversation with a result and a contact matches these filters.")


class ApplyOutdated(Conflict):
    """Raised where more conversations match than were shown."""

    code = "preview_outdated"
    example = Example("Now 12 conversations match (was 10). Preview again.")


def start_mapping_run(
    *, channel: str, params: Mapping[str, Sequence[str]], by: Actor, token: str | None = None
) -> Run:
    """Freeze the matching conversations and queue the run; the same run for a second click.

    Raises NothingToApply, and ApplyOutdated where more match than the token's preview showed.
    """
    agreed = unsign(token, kind=Kind.MAPPING) if token else None
    if agreed and (same := Run.objects.filter(save_token=agreed["nonce"]).first()):
        return same
    preview = _checked(channel, params, agreed)
    if not preview.conversations:
        raise NothingToApply
    return starting.begin_once(
        agreed["nonce"] if agreed else None,
        _fields(preview),
        by=by,
        verb="mapping.started",
        detail=lambda run: {"conversations": run.total, "contacts": preview.contacts},
        write=partial(starting.begin_list, write=list_mappings),
    )


def _checked(
    channel: str, params: Mapping[str, Sequence[str]], agreed: Mapping[str, Any] | None
) -> MappingPreview:
    """Count again, or return the agreed numbers where that takes too long."""
    shown = MappingPreview(channel, params, 0, 0)
    if agreed and agreed["asked"] != shown.question:
        raise ApplyOutdated("The filters changed after this preview. Preview again.")
    known = agreed["conversations"] if agreed else None
    now = starting.recount(lambda: preview_mappings(channel, params), known)
    if now is None:
        assert agreed is not None
        return MappingPreview(channel, params, agreed["conversations"], agreed["contacts"])
    if agreed and now.conversations > agreed["conversations"]:
        raise ApplyOutdated(
            f"Now {now.conversations:,} conversations match "
            f"(was {agreed['conversations']:,}). Preview again."
        )
    return now


def _fields(preview: MappingPreview) -> dict[str, Any]:
    now = timezone.now()
    return {
        "kind": Kind.MAPPING,
        "channel": preview.channel,
        "filters": {name: list(values) for name, values in preview.params.items()},
        "as_of": now,
        "estimate": _estimate(preview),
        "total": preview.conversations,
        "created_at": now,
    }


def _estimate(preview: MappingPreview) -> dict[str, Any]:
    """Return the cost of the run, and of combining texts after it at most."""
    found = starting.free_estimate(preview.conversations)
    if summaries := estimate_summaries(preview):
        unknown = summaries.cost is None
        found |= dict.fromkeys(("cost", "cost_high"), None if unknown else str(summaries.cost))
        found["cost_low"] = None if unknown else "0"
        found |= {
            "input_tokens": summaries.input_tokens,
            "output_tokens": summaries.output_tokens,
        }
    return found
