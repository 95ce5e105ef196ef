"""Analyses as programs read them: in the API, and as raw data on a conversation's page."""

from typing import Annotated, Self

from pydantic import Field

from apps.conversations.models import Trigger
from apps.core.schemas import Count, Json, Money, Schema, Time
from apps.llm.errors import ErrorCode

from .models import Analysis, State


class UsageSchema(Schema):
    """What one analysis used. Null where no request was sent, or no price is set."""

    input_tokens: Count | None
    cached_tokens: Count | None
    output_tokens: Count | None
    estimated: bool
    """Whether Debrief estimated tokens that the provider did not report."""
    cost: Money | None


class FailureSchema(Schema):
    """Why an analysis failed."""

    code: ErrorCode
    message: str

    @classmethod
    def from_analysis(cls, analysis: Analysis) -> Self | None:
        """Return the failure of an analysis; None for one that didn't fail."""
        code = analysis.error_code
        return cls(code=ErrorCode(code), message=analysis.error_message) if code else None


class AnalysisSchema(Schema):
    """One analysis of a conversation: succeeded, failed, pending or running."""

    example = {
        "analysis_id": "an_6tYhN3bVgF5cDxS8zAqW1e",
        "conversation_id": "conv_4uOs8NxX0dTq1nKpUrZ3aB",
        "agent_id": "agt_7cJkQ2mVfE5wYbR9tHs1Ld",
        "analysis": {
            "call_summary": "The caller was charged twice for March; one charge was refunded.",
            "call_successful": True,
            "user_sentiment": "Neutral",
            "topic": "billing",
        },
        "status": "succeeded",
        "trigger": "initial",
        "agent_version": 3,
        "config": "sha256:3f1d0c2b9a8e7f6d5c4b3a29180716f5e4d3c2b1a0918273645546372819fafb",
        "model": "gpt-4.1-mini",
        "usage": {
            "input_tokens": 1290,
            "cached_tokens": 1024,
            "output_tokens": 64,
            "estimated": False,
            "cost": "0.00034880",
        },
        "current": True,
        "missing_required": [],
        "truncated": False,
        "error": None,
        "requested_by": "system: first analysis",
        "created_at": "2025-01-18T15:30:02.118000Z",
        "finished_at": "2025-01-18T15:30:04.902000Z",
    }

    analysis_id: str
    conversation_id: str
    agent_id: str
    """The agent whose prompts were used: the last one, where it was transferred."""
    analysis: Json
    """The values, by the names of the fields; empty ones are left out."""
    status: State
    trigger: Trigger
    agent_version: Count
    config: Annotated[str | None, Field(pattern="^sha256:")]
    """Identifies everything that determined the request; null for an imported result."""
    model: str | None
    usage: UsageSchema
    current: bool
    missing_required: list[str]
    """Required fields that stayed empty: the conversation then counts as unsuccessful."""
    truncated: bool
    """Only the beginning and the end of the transcript were read."""
    error: FailureSchema | None
    requested_by: str
    created_at: Time
    finished_at: Time | None

    @classmethod
    def from_analysis(cls, analysis: Analysis) -> Self:
        """Return an analysis, loaded with its conversation, config, agent version and agent."""
        return cls(
            analysis_id=analysis.public_id,
            conversation_id=analysis.conversation.public_id,
            agent_id=analysis.agent_version.agent.public_id,
            analysis=analysis.ordered_output(),
            status=State(analysis.state),
            trigger=Trigger(analysis.trigger),
            agent_version=analysis.agent_version.number,
            config=analysis.config.name if analysis.config else None,
            model=analysis.model or (analysis.config.model.name if analysis.config else None),
            usage=UsageSchema(
                input_tokens=analysis.input_tokens,
                cached_tokens=analysis.cached_tokens,
                output_tokens=analysis.output_tokens,
                estimated=analysis.usage_estimated,
                cost=None if analysis.cost is None else f"{analysis.cost:f}",
            ),
            current=analysis.is_current,
            missing_required=list(analysis.missing_required),
            truncated=analysis.truncated,
            error=FailureSchema.from_analysis(analysis),
            requested_by=analysis.requested_by,
            created_at=analysis.created_at,
            finished_at=analysis.finished_at,
        )
