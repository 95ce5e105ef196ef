"""Apply mappings to past analyses: a run over conversations with a current result.

The run asks no model. Each conversation contributes to its contact as if its result were new.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection, transaction
from django.utils import timezone

from apps.accounts import audit
from apps.accounts.actors import Actor
from apps.conversations.filters import matching
from apps.conversations.models import AnalysisState, ConversationQuerySet
from apps.conversations.results import NewResult
from apps.core.errors import Conflict, Example, UserError
from apps.mappings.contributions import contribute

from .agreement import question_hash, sign, unsign
from .estimates import free_estimate
from .mapping_estimate import SummaryEstimate, expected_summaries
from .models import Kind, Run
from .selection import freeze_results


class NothingToApply(UserError):
    """Raised where no conversation with a result and a contact matches."""

    code = "nothing_to_apply"
    example = Example("No conversation with a result and a contact matches these filters.")


class ApplyOutdated(Conflict):
    """Raised where more conversations match than were shown."""

    code = "preview_outdated"
    example = Example("Now 12 conversations match (was 10). Preview again.")


@dataclass(frozen=True, slots=True)
class MappingPreview:
    """The conversations whose results would be applied, and the contacts that they belong to."""

    channel: str
    params: Mapping[str, Sequence[str]]
    conversations: int
    contacts: int

    @property
    def question(self) -> str:
        return question_hash(self.channel, self.params, Kind.MAPPING.value)

    @property
    def token(self) -> str:
        """Return the token that agrees to this preview."""
        data = {"asked": self.question, "conversations": self.conversations}
        return sign(data, kind=Kind.MAPPING)


def _found(channel: str, params: Mapping[str, Sequence[str]]) -> ConversationQuerySet:
    found = matching(channel=channel, params=params).order_by()
    return found.filter(analysis_state=AnalysisState.SUCCEEDED, contact__isnull=False)


def preview_mappings(channel: str, params: Mapping[str, Sequence[str]]) -> MappingPreview:
    """Count the conversations and contacts of a mapping run, in one query."""
    try:
        sql, values = _found(channel, params).values("pk", "contact").query.sql_with_params()
    except EmptyResultSet:
        return MappingPreview(channel, params, 0, 0)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*), count(DISTINCT contact) FROM ({sql}) AS s(pk, contact)", values
        )
        return MappingPreview(channel, params, *cursor.fetchone())


def estimate_summaries(preview: MappingPreview) -> SummaryEstimate | None:
    """Return what combining texts takes after the run; None if no mapping accumulates texts."""
    found = _found(preview.channel, preview.params)
    return expected_summaries(found, preview.conversations)


def start_mapping_run(
    *, channel: str, params: Mapping[str, Sequence[str]], by: Actor, token: str | None = None
) -> Run:
    """Freeze the matching conversations and queue the run; the same run for a second click.

    Raises NothingToApply, and ApplyOutdated where more match than the token's preview showed.
    """
    agreed = unsign(token, kind=Kind.MAPPING) if token else None
    if agreed and (same := Run.objects.filter(save_token=agreed["nonce"]).first()):
        return same
    preview = preview_mappings(channel, params)
    if agreed and agreed["asked"] != preview.question:
        raise ApplyOutdated("The filters changed after this preview. Preview again.")
    if agreed and preview.conversations > agreed["conversations"]:
        raise ApplyOutdated(
            f"Now {preview.conversations:,} conversations match "
            f"(was {agreed['conversations']:,}). Preview again."
        )
    if not preview.conversations:
        raise NothingToApply
    with transaction.atomic():
        run, created = Run.objects.get_or_create(
            save_token=agreed["nonce"] if agreed else secrets.token_hex(16),
            defaults=_fields(preview, by),
        )
        if created:
            run.total = freeze_results(run, _found(run.channel, run.filters))
            run.save(update_fields=["total"])
            detail = {"conversations": run.total, "contacts": preview.contacts}
            audit.record(by=by, verb="mapping.started", target=run.public_id, detail=detail)
    return run


def _fields(preview: MappingPreview, by: Actor) -> dict[str, Any]:
    now = timezone.now()
    return {
        "kind": Kind.MAPPING,
        "channel": preview.channel,
        "filters": {name: list(values) for name, values in preview.params.items()},
        "as_of": now,
        "estimate": _estimate(preview),
        "created_by": by.label,
        "created_at": now,
    }


def _estimate(preview: MappingPreview) -> dict[str, Any]:
    """Return what the run takes, and combining texts after it at most."""
    found = free_estimate(preview.conversations)
    if summaries := estimate_summaries(preview):
        unknown = summaries.cost is None
        found |= dict.fromkeys(("cost", "cost_high"), None if unknown else str(summaries.cost))
        found["cost_low"] = None if unknown else "0"
        found |= {
            "input_tokens": summaries.input_tokens,
            "output_tokens": summaries.output_tokens,
        }
    return found


_LOAD = """
SELECT i.id, i.conversation_id, a.id, a.public_id, v.agent_id, a.output::text
FROM runs_runitem i
LEFT JOIN analysis_analysis a ON a.conversation_id = i.conversation_id AND a.is_current
LEFT JOIN agents_agentversion v ON v.id = a.agent_version_id
WHERE i.id = ANY(%s)
"""
_MARK = """
UPDATE runs_runitem i SET finished_at = clock_timestamp(), analysis_id = a.id,
  state = CASE WHEN a.id IS NULL THEN 'skipped' ELSE 'done' END,
  skip_reason = CASE WHEN a.id IS NULL THEN 'no_result' ELSE '' END
FROM runs_runitem o
LEFT JOIN analysis_analysis a ON a.conversation_id = o.conversation_id AND a.is_current
WHERE i.id = o.id AND o.id = ANY(%s)
"""


def apply_batch(run: Run, item_ids: Sequence[int]) -> None:
    """Contribute the current results of the locked items and mark them."""
    with connection.cursor() as cursor:
        cursor.execute(_LOAD, [list(item_ids)])
        rows = cursor.fetchall()
    contribute(
        [
            NewResult(conversation, agent, name, json.loads(output or "{}"), by=run.created_by)
            for _, conversation, analysis, name, agent, output in rows
            if analysis is not None
        ]
    )
    with connection.cursor() as cursor:
        cursor.execute(_MARK, [list(item_ids)])
