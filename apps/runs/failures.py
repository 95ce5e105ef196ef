"""Failed items by cause, and what helps where a retry would only repeat the failure."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Count, Min, Q
from django.db.models.functions import Coalesce

from apps.llm.errors import ErrorCode

from .models import Run, RunItem

_REMEDIES = {
    ErrorCode.TRANSCRIPT_TOO_LONG: (
        "Keep the beginning and the end of long transcripts (agent settings), or choose a model "
        "with a larger context. Then start a new backfill."
    ),
    ErrorCode.SCHEMA_REJECTED: "Simplify the agent’s fields, then start a new backfill.",
    ErrorCode.CONTENT_FILTER: (
        "The provider’s filter rejects these conversations. Another provider may read them."
    ),
    ErrorCode.REFUSAL: "Change the prompts or the model, then start a new backfill.",
    ErrorCode.LENGTH: (
        "Ask for fewer or shorter fields, or raise the model’s maximum response length. "
        "Then start a new backfill."
    ),
}


def remedy(code: str) -> str:
    """Return what helps against a failure; empty where a retry may help."""
    return _REMEDIES.get(ErrorCode(code), "") if code in ErrorCode.values else ""


def can_change(code: str) -> bool:
    """Return whether another attempt with the same prompts and model may end in another way."""
    return not remedy(code)


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """One cause of failure: how often, in words, and an item as its example."""

    code: str
    count: int
    label: str
    example: RunItem

    @property
    def remedy(self) -> str:
        """What helps where a retry would only repeat the failure."""
        return remedy(self.code)


def failures_of(run: Run) -> dict[str, int]:
    """How many items failed, by error code, most first."""
    return failures_of_each([run])[run.pk]


def failures_of_each(runs: Sequence[Run]) -> dict[int, dict[str, int]]:
    """The failures of some runs by their keys, in one query for all."""
    found: dict[int, dict[str, int]] = {run.pk: {} for run in runs}
    rows = RunItem.objects.filter(run__in=runs).failed().order_by()
    counted = rows.values_list("run", "error_code").annotate(n=Count("pk"))
    for pk, code, n in sorted(counted, key=lambda row: -row[2]):
        found[pk][code] = n
    return found


def failure_groups(run: Run) -> list[FailureGroup]:
    """What failed, by cause, most first, each with its first item that was not erased."""
    first = Coalesce(Min("pk", filter=Q(conversation__isnull=False)), Min("pk"))
    found = (
        run.items.failed().order_by().values_list("error_code").annotate(n=Count("pk"), first=first)
    )
    counted = sorted(found, key=lambda row: -row[1])
    examples = run.items.select_related("conversation").in_bulk([pk for _, _, pk in counted])
    return [
        FailureGroup(code, count, _label(code), examples[pk])
        for code, count, pk in counted
        if pk in examples
    ]


def failed_again(run: Run) -> int:
    """Return how many of the items that were last retried failed once more."""
    if run.retried_at is None or run.is_active:
        return 0
    again = run.items.failed().filter(finished_at__gte=run.retried_at).count()
    return min(again, run.retried)  # retried in mid-run, others may have failed since


def _label(code: str) -> str:
    return str(ErrorCode(code).label) if code in ErrorCode.values else code
