"""Conversations and analyses, as they are sent and as the API returns them.

A conversation is sent in the same form over the API, in bulk, in files and by platforms. The
schemas of it document what `apps.intake.parser` reads.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, SkipValidation

from apps.agents.models import Channel
from apps.analysis.effects import InvalidSideEffects, SideEffects
from apps.analysis.schemas import AnalysisSchema
from apps.conversations.inputs import MAX_LENGTHS
from apps.conversations.models import Direction, Reason, Status, TransferSetting
from apps.conversations.schemas import MESSAGES, ConversationRow
from apps.core.errors import Example, NotFound, UserError
from apps.core.schemas import Body, Count, Json, Schema, VersionNumber, eg
from apps.intake.services import IngestReport
from apps.llm.errors import ErrorCode

from . import examples
from .common import ErrorBody, Page, TimeIn

RoleIn = Literal[
    "agent", "user", "system", "tool_call", "tool_result", "transfer", "dtmf", "event",
    "tool", "function", "assistant", "bot", "ai", "model", "customer", "human", "developer",
]  # fmt: skip
"""Other platforms' names are read too: `tool` and `function` are `tool_result`, `assistant`,
`bot`, `ai` and `model` are `agent`, `customer` and `human` are `user`, `developer` is `system`."""


class MessageIn(Schema):
    """One item of a transcript, as it is sent.

    OpenAI's chat format is read, parts and tool calls included, and `text`, `message`, `body`,
    `transcript` and `utterance` for `content`. Any other key is rejected by its name, so that no
    content is lost.
    """

    role: RoleIn
    content: Any = ""
    """Text, or a list of parts. Anything else is stored as JSON, like the results of tools."""
    at: TimeIn | None = None
    """ISO 8601, seconds or milliseconds since 1970, or seconds since `started_at`; no earlier than
    1980."""
    name: Annotated[str | None, Field(max_length=MAX_LENGTHS["message"])] = None
    """Who said it, or the tool."""
    tool_calls: list[Json] | None = None
    """Each becomes its own message, `tool_call`, after the text."""
    tool_call_id: Annotated[str | None, Field(max_length=MAX_LENGTHS["message"])] = None
    """The tool call that this result belongs to."""
    id: Annotated[str | None, Field(max_length=MAX_LENGTHS["message"])] = None
    """Your id of the message."""


class ContactIn(Schema):
    """The person the conversation was with.

    Without a number or email no contact can be matched: the names go to the metadata then, under
    `contact`, like unknown keys.
    """

    phone_number: Annotated[str | None, Field(max_length=MAX_LENGTHS["phone_number"])] = None
    """Normalized to +14155550123 where it names its country. A withheld number (“anonymous”,
    +266696687) matches no contact. Digits without a country stay as they are."""
    email: Annotated[str | None, Field(max_length=MAX_LENGTHS["email"], pattern="@")] = None
    first_name: Annotated[str | None, Field(max_length=MAX_LENGTHS["first_name"])] = None
    last_name: Annotated[str | None, Field(max_length=MAX_LENGTHS["last_name"])] = None


class TransferIn(Schema):
    """A transfer to another agent."""

    after_message: Count | None = None
    """How many of the messages, as you send them, came before it. Default: all of them."""
    to_agent_id: Annotated[str, Field(min_length=1, max_length=MAX_LENGTHS["agent_id"])]
    """The agent's ID in Debrief or on the platform."""
    post_call_analysis_setting: TransferSetting | None = None
    """Default: `only_destination_agent`."""


class Retried(Schema):
    """The result of retrying failed first analyses."""

    queued: Annotated[Count, eg(12)]


class ConversationIn(Schema):
    """A conversation as it is sent: complete, or as it begins.

    Unknown keys go to `metadata`. Null means the same as a missing key.
    """

    example = {
        "agent_id": examples.AGENT_ID,
        "channel": "voice",
        "external_id": "call-1093",
        "started_at": "2025-01-18T15:29:00Z",
        "duration_ms": 61000,
        "from_number": "+14155550123",
        "contact": {"phone_number": "+14155550123", "first_name": "Ada"},
        "metadata": {"plan": "gold"},
        "messages": MESSAGES,
    }

    agent_id: Annotated[str, Field(min_length=1, max_length=MAX_LENGTHS["agent_id"])]
    """The agent's ID in Debrief or on the platform."""
    channel: Channel
    messages: list[MessageIn] | None = None
    """Required unless the status is `registered`, `ongoing` or `not_connected`."""
    external_id: Annotated[str | None, Field(max_length=MAX_LENGTHS["external_id"])] = None
    """Together with `source`, identifies the conversation."""
    source: Annotated[str | None, Field(max_length=MAX_LENGTHS["source"])] = None
    """Where it comes from. Default: `api`."""
    agent_version: Annotated[int | None, Field(ge=0, le=2**31 - 1)] = None
    """The version that handled the conversation. Default: the newest published one."""
    status: Status | None = None
    """Default: `ended`."""
    language: Annotated[str | None, Field(max_length=MAX_LENGTHS["language"])] = None
    started_at: TimeIn | None = None
    """ISO 8601, or seconds or milliseconds since 1970."""
    ended_at: TimeIn | None = None
    """Rejected while the status is `registered` or `ongoing`."""
    duration_ms: Annotated[int | None, Field(ge=0, le=10**12)] = None
    direction: Direction | None = None
    from_number: Annotated[str | None, Field(max_length=MAX_LENGTHS["from_number"])] = None
    to_number: Annotated[str | None, Field(max_length=MAX_LENGTHS["to_number"])] = None
    disconnection_reason: Annotated[
        str | None, Field(max_length=MAX_LENGTHS["disconnection_reason"])
    ] = None
    recording_url: Annotated[
        str | None,
        Field(max_length=MAX_LENGTHS["recording_url"], pattern="^[Hh][Tt][Tt][Pp][Ss]?://"),
    ] = None
    contact: ContactIn | None = None
    metadata: Json | None = None
    dynamic_variables: Json | None = None
    transfers: list[TransferIn] | None = None
    analysis: Json | None = None
    """A result from another platform: stored as *imported*, as it was sent, instead of a first
    analysis. It isn't validated against the agent's schema; only `call_successful` and
    `chat_successful` are read as yes or no, even if they say “success” or “False”."""


class AppendIn(Body):
    """Messages to append."""

    example = {"after": 2, "messages": [{"role": "user", "content": "One more thing."}]}

    messages: SkipValidation[list[MessageIn]]
    after: SkipValidation[Annotated[int | None, Field(ge=0, le=2**31 - 1)]] = None
    """How many stored messages come before these. Existing messages aren't added again."""


class CloseIn(Body):
    """How the conversation ended, as far as it is known."""

    example = {"disconnection_reason": "user_hangup"}

    status: SkipValidation[Literal["ended", "error", "not_connected"] | None] = None
    """Default: `ended`."""
    ended_at: SkipValidation[TimeIn | None] = None
    """ISO 8601, or seconds or milliseconds since 1970. Default: now."""
    duration_ms: SkipValidation[Annotated[int | None, Field(ge=0, le=10**12)]] = None
    """Default: from start to end."""
    disconnection_reason: SkipValidation[
        Annotated[str | None, Field(max_length=MAX_LENGTHS["disconnection_reason"])]
    ] = None
    analysis: SkipValidation[Json | None] = None
    """A result from another platform: stored as *imported*, instead of a first analysis."""


class LineError(Schema):
    """A rejected line of a bulk body."""

    line: Annotated[int, Field(ge=1), eg(500)]
    """Counted from 1, including blank lines."""
    code: Annotated[str, eg("not_json")]
    message: Annotated[str, eg("This is not JSON: Expecting value.")]


class BulkReport(Schema):
    """Counts and errors by line."""

    accepted: Annotated[Count, eg(998)]
    """New conversations."""
    updated: Annotated[Count, eg(0)]
    unchanged: Annotated[Count, eg(0)]
    """Lines with no new data."""
    refused: Annotated[Count, eg(1)]
    errors: list[LineError]
    """The first thousand rejected lines."""

    @classmethod
    def from_report(cls, report: IngestReport) -> Self:
        """Return the outcome of the lines of a body."""
        return cls(
            accepted=report.accepted,
            updated=report.updated,
            unchanged=report.unchanged,
            refused=report.refused,
            errors=[LineError(line=e.line, code=e.code, message=e.message) for e in report.errors],
        )


class UnknownVersion(UserError):
    """Raised for a version that the conversation's last agent hasn't published."""

    code = "unknown_version"
    example = Example("The agent has no published version 3.", {"version": "Not published."})


class RerunIn(Body):
    """Which prompts to use."""

    by_field = {"version": UnknownVersion, "side_effects": InvalidSideEffects}
    example = {}

    version: VersionNumber | None = None
    """A published version of the last agent. Default: the latest drafts."""
    side_effects: SideEffects | None = None


class NoResult(NotFound):
    """Raised for a conversation without a result."""

    code = "not_analyzed"
    example = Example(
        "This call has not been analyzed: still in progress.", more={"reason": "not_ended"}
    )

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.more = {"reason": reason}


class NotAnalyzedBody(ErrorBody):
    """Why there is no result."""

    reason: Reason | ErrorCode | Literal["pending", "running", "none"]
    """A closed list of reasons, error codes, or the state of a first analysis."""


class NotAnalyzed(Schema):
    """There is no result, and this is why. For an unknown id there is no `reason`."""

    error: NotAnalyzedBody | ErrorBody


class Conversations(Page[ConversationRow]):
    """One page of conversations."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    stable_order: Annotated[bool, eg(value=True)]
    """Whether each row keeps its place while analyses run: the order is by start or id."""


class Analyses(Page[AnalysisSchema]):
    """One page of analyses."""
