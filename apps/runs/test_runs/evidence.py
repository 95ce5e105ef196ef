"""Summarize the last test run of a draft, for the person who is about to publish it."""

from collections import Counter
from dataclasses import dataclass

from apps.agents.models import AgentVersion
from apps.runs.models import ItemState, Kind, Run, RunItem


@dataclass(frozen=True, slots=True)
class Evidence:
    """The last test run of a draft: how many conversations succeeded, and why others failed."""

    trial: Run
    total: int
    succeeded: int
    waiting: int
    failed: int
    failures: tuple[tuple[str, int], ...]
    is_outdated: bool


def evidence_of(draft: AgentVersion) -> Evidence | None:
    """Return the last test run with this draft, in two queries; None without one."""
    latest = RunItem.objects.filter(run__kind=Kind.TRIAL, agent_version=draft).order_by("-run_id")
    found = latest.select_related("run").first()
    if found is None:
        return None
    items = list(
        RunItem.objects.filter(run_id=found.run_id, agent_version=draft).only(
            "state", "error_code", "error_message", "config_id"
        )
    )
    reasons = Counter(item.sentence for item in items if item.state == ItemState.FAILED)
    return Evidence(
        trial=found.run,
        total=len(items),
        succeeded=sum(item.state == ItemState.DONE for item in items),
        waiting=sum(not item.is_final for item in items),
        failed=sum(reasons.values()),
        failures=tuple(reasons.most_common(3)),
        is_outdated=(
            draft.saved_at > found.run.created_at
            and all(item.config_id != draft.config_id for item in items)
        ),
    )
