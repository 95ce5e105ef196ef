"""What passes between the database and an engine: jobs out, outcomes back."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol
from uuid import UUID

from apps.agents.documents import ConfigDocument
from apps.llm.errors import PauseReason
from apps.llm.specs import ModelSpec, TokenUsage

from .effects import SideEffects
from .prompts import Facts


@dataclass(slots=True)
class AnalysisJob:
    """A claimed analysis with everything that a request needs; held by ``token``."""

    analysis_id: int
    public_id: str
    token: UUID
    conversation_id: int
    conversation_public_id: str
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

    @property
    def key(self) -> int:
        """Return the key of the leased row."""
        return self.analysis_id


@dataclass(slots=True)
class AnalysisOutcome:
    """How a job ended. ``error_code`` is empty for a success.

    ``requests`` counts what was really sent: it is paid for, also where the result is lost.
    ``pause`` (auth, quota, provider_down, rate_limited) asks the source to stop the run; the job
    itself is handed back and nothing is recorded but the ledger. ``transient``: the same request
    may fare better later. ``retry_after``: in so many seconds, as the provider says.
    """

    job: AnalysisJob
    output: dict[str, Any] | None = None
    missing_required: list[str] = field(default_factory=list)
    error_code: str = ""
    error_message: str = ""
    raw_output: str = ""
    usage: TokenUsage = field(default_factory=TokenUsage)
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
        """Whether waiting may help, without a person: anything but a refused key."""
        return bool(self.error_code) and (
            self.transient or self.pause not in {"", PauseReason.AUTH.value}
        )


@dataclass(frozen=True, slots=True)
class Recorded:
    """What recording an outcome found, for the source to settle its own rows by.

    ``changes`` names the fields that differ from the result that was current before.
    """

    outcome: AnalysisOutcome
    previous_id: int | None
    changes: tuple[str, ...]
    cost: Decimal | None

    @property
    def changed(self) -> bool:
        """Whether any value differs."""
        return bool(self.changes)

    @property
    def is_told(self) -> bool:
        """Whether webhooks are to hear of it, as far as its side effects go."""
        job = self.outcome.job
        return job.side_effects.tells(self.changes, failed=bool(self.outcome.error_code))


class WorkSource(Protocol):
    """Where an engine takes work from. All methods are synchronous and run in its threads.

    ``lane`` names its engine: there is at most one of each name in a process.
    """

    lane: str

    def claim(self, limit: int) -> list[AnalysisJob]:
        """Take up to ``limit`` jobs, leased; looks first whether work may be taken at all."""

    def extend(self, jobs: Sequence[AnalysisJob]) -> None:
        """The heartbeat: what this worker holds stays its own for another while."""

    def record(self, outcomes: Sequence[AnalysisOutcome]) -> None:
        """Write down how a group of jobs ended, and what it cost, in one transaction."""

    def hand_back(self, jobs: Sequence[AnalysisJob]) -> None:
        """Give up jobs for which nothing was sent, so that any worker can take them at once."""

    def stopped(self, jobs: Sequence[AnalysisJob]) -> list[AnalysisJob]:
        """Those of the claimed jobs whose run was paused or cancelled since."""

    def pause(self, outcome: AnalysisOutcome) -> bool:
        """Stop giving out work like this outcome's; False where the lane cannot pause."""

    def put_off(self, outcome: AnalysisOutcome) -> bool:
        """Let the job of an outcome that can wait be tried again later, by whoever claims it
        then; False where the outcome is to be recorded."""

    def abandoned(self, jobs: Sequence[AnalysisJob]) -> list[AnalysisJob]:
        """Those of the jobs in flight whose answers nobody wants any more."""

    def finished(self) -> None:
        """Close what has nothing left to do, in a transaction of its own."""
