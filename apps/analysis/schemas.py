"""Analyses as programs read them: in the API, and as raw data on a conversation's page."""

from typing import Annotated, Self

from pydantic import Field

from apps.conversations.models import Trigger
from apps.core.schemas import Count, Json, Money, Schema, Time, eg
from apps.llm.errors import ErrorCode

from .models import Analysis, State


class UsageSchema(Schema):
    """What one analysis used. Null where no request was sent, or no price is set."""

    input_tokens: Annotated[Count | None, eg(1290)]
    cached_tokens: Annotated[Count | None, eg(1024)]
    output_tokens: Annotated[Count | None, eg(64)]
    estimated: bool
    """Whether Debrief estimated tokens that the provider did not report."""
    cost: Annotated[Money | None, eg("0.00034880")]


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

    analysis_id: Annotated[str, eg("an_6tYhN3bVgF5cDxS8zAqW1e")]
    conversation_id: Annotated[str, eg("conv_4uOs8NxX0dTq1nKpUrZ3aB")]
    agent_id: Annotated[str, eg("agt_7cJkQ2mVfE5wYbR9tHs1Ld")]
    """The agent whose prompts were used: the last one, where it was transferred."""
    analysis: Annotated[
        Json,
        eg(
            {
                "call_summary": "The caller was charged twice for March; one charge was refunded.",
                "call_successful": True,
                "user_sentiment": "Neutral",
                "topic": "billing",
            }
        ),
    ]
    """The values, by the names of the fields; empty ones are left out."""
    status: Annotated[State, eg("succeeded")]
    trigger: Annotated[Trigger, eg("initial")]
    agent_version: Annotated[Count, eg(3)]
    config: Annotated[
        str | None,
        Field(pattern="^sha256:"),
        eg("sha256:3f1d0c2b9a8e7f6d…"),
    ]
    """Identifies everything that determined the request; null for an imported result."""
    model: Annotated[str | None, eg("gpt-4.1-mini")]
    usage: UsageSchema
    current: Annotated[bool, eg(value=True)]
    missing_required: list[str]
    """Required fields that stayed empty: the conversation then counts as unsuccessful."""
    truncated: bool
    """Only the beginning and the end of the transcript were read."""
    error: FailureSchema | None
    requested_by: Annotated[str, eg("system: automatic analysis")]
    created_at: Annotated[Time, eg("2025-01-18T15:30:02.118000Z")]
    finished_at: Annotated[Time | None, eg("2025-01-18T15:30:04.902000Z")]

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
