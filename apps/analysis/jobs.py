"""Analyses on their way through a runner: jobs out, outcomes back."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from apps.agents.documents import ConfigDocument
from apps.llm.errors import INTERNAL_MESSAGE, ErrorCode, PauseReason
from apps.llm.specs import ModelSpec, TokenUsage

from .effects import SideEffects
from .prompts import Facts


@dataclass(frozen=True, slots=True)
class Tier:
    """At which service tier of its provider a job asks: ``name`` is empty for the standard one.

    ``falls_back``: the standard tier is asked where the other one has no capacity for long.
    """

    name: str = ""
    falls_back: bool = False


@dataclass(slots=True)
class AnalysisJob:
    """A claimed analysis with everything that a request needs; held by ``token``.

    ``reserved`` is the money set aside for its request, where a budget or a cap is set.
    """

    analysis_id: int
    public_id: str
    token: UUID
    conversation_id: int
    conversation_public_id: str
    agent_id: int
    agent_public_id: str
    trigger: str
    requested_by: str
    columns: dict[str, str]
    config: ConfigDocument
    config_id: int
    config_sha256: str
    spec: ModelSpec
    facts: Facts
    messages: list[dict[str, Any]]
    lane: str
    side_effects: SideEffects
    backfill_public_id: str = ""
    backfill_id: int | None = None
    item_id: int | None = None
    tries: int = 0
    transcript_tokens: int | None = None
    reserved: Decimal | None = None
    tier: Tier = Tier()

    @property
    def key(self) -> int:
        """Return the key of the leased row."""
        return self.analysis_id

    @property
    def log_ids(self) -> dict[str, str]:
        """Return the IDs that log lines about the job carry."""
        ids = {"conversation_id": self.conversation_public_id, "analysis_id": self.public_id}
        return ids | ({"run_id": self.backfill_public_id} if self.backfill_public_id else {})


@dataclass(slots=True)
class AnalysisOutcome:
    """How a job ended. ``error_code`` is empty for a success.

    ``requests`` counts what was really sent: it is paid for, also where the result is lost.
    ``pause`` (a `PauseReason`) asks the queue to pause the run; the job itself is handed back and
    nothing is recorded but the ledger. ``transient``: the same request may fare better later.
    ``retry_after``: in this many seconds, as the provider says.
    ``flex_usage`` is the part of ``usage`` that the provider reports for its flex tier; ``tier`` is
    the one it reported last.
    """

    job: AnalysisJob
    output: dict[str, Any] | None = None
    missing_required: list[str] = field(default_factory=list)
    error_code: str = ""
    error_message: str = ""
    raw_output: str = ""
    usage: TokenUsage = field(default_factory=TokenUsage)
    flex_usage: TokenUsage = field(default_factory=TokenUsage)
    tier: str = ""
    usage_estimated: bool = False
    usage_note: str = ""
    requests: int = 0
    latency_ms: int = 0
    request_id: str = ""
    messages_read: int = 0
    truncated: bool = False
    started_at: datetime | None = None
    pause: str = ""
    transient: bool = False
    retry_after: float | None = None

    @property
    def can_wait(self) -> bool:
        """Return whether waiting may help, without a person: anything but a rejected key."""
        return bool(self.error_code) and (
            self.transient or self.pause not in {"", PauseReason.AUTH.value}
        )

    def without_answer(self) -> "AnalysisOutcome":
        """Return a failure that keeps only what the response cost: any part of it may be what the
        database rejected.

        The error itself is in the log only: a database's message holds SQL and parts of rows.
        """
        return replace(
            self,
            output=None,
            raw_output="",
            missing_required=[],
            request_id="",
            error_code=ErrorCode.INTERNAL,
            error_message=f"Couldn’t save the result. {INTERNAL_MESSAGE}",
        )


@dataclass(frozen=True, slots=True)
class Recorded:
    """What recording an outcome found, for the queue to settle its own rows by.

    ``state_before`` is the conversation's analysis state and reason until then. ``changes`` names
    the fields that differ from the result that was current before.
    """

    outcome: AnalysisOutcome
    previous_id: int | None
    state_before: tuple[str, str]
    changes: tuple[str, ...]
    cost: Decimal | None

    @property
    def changed(self) -> bool:
        """Return whether any value differs."""
        return bool(self.changes)

    @property
    def is_told(self) -> bool:
        """Return whether the job's side effects send webhooks for this result."""
        job = self.outcome.job
        return job.side_effects.notifies(self.changes, failed=bool(self.outcome.error_code))
