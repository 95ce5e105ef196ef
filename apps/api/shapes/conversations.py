"""Conversations, analyses, and what the intake doors take and answer."""

from typing import Annotated, Any, Literal

from pydantic import Field

from apps.agents.models import Channel
from apps.analysis.models import State
from apps.conversations.models import (
    AnalysisState,
    Direction,
    Reason,
    Status,
    TransferSetting,
    Trigger,
)
from apps.llm.errors import ErrorCode

from .common import Closed, ErrorBody, JsonObject, Money, Shape, Time, TimeIn, page_of

Count = Annotated[int, Field(ge=0)]
Role = Literal["agent", "user", "system", "tool_call", "tool_result", "transfer", "dtmf", "event"]
RoleIn = Literal[
    "agent", "user", "system", "tool_call", "tool_result", "transfer", "dtmf", "event",
    "tool", "function", "assistant", "bot", "ai", "model", "customer", "human", "developer",
]  # fmt: skip
"""Other platforms' names are read too: `tool` and `function` are `tool_result`, `assistant`,
`bot`, `ai` and `model` are `agent`, `customer` and `human` are `user`, `developer` is `system`."""


class Message(Shape):
    """One item of a transcript."""

    role: Role
    content: str
    at: Time | None = None
    """When it was said; absent where nobody knows."""
    name: str = ""
    """Who said it, or the tool, where the sender named it."""
    tool_call_id: str = ""
    """What links a tool call and its result, where the sender said it."""
    id: str = ""
    """The sender's id of the message, where there was one."""


class MessageIn(Shape):
    """One item of a transcript, as it is handed in.

    OpenAI's chat format is read, parts and tool calls included, and `text`, `message`, `body`,
    `transcript` and `utterance` for `content`. Any other key is refused by its name: nothing that
    was said is lost.
    """

    role: RoleIn
    content: Any = ""
    """Text, or a list of parts. Anything else is kept as JSON, which is how tools answer."""
    at: TimeIn | None = None
    """ISO 8601, seconds or milliseconds since 1970, or seconds since `started_at`; no earlier than
    1980."""
    name: Annotated[str | None, Field(max_length=300)] = None
    """Who said it, or the tool."""
    tool_calls: list[JsonObject] | None = None
    """Each becomes a message of its own, `tool_call`, behind the text."""
    tool_call_id: Annotated[str | None, Field(max_length=300)] = None
    """Of a result: the call that it answers."""
    id: Annotated[str | None, Field(max_length=300)] = None
    """Your id of the message."""


class Contact(Shape):
    """Whom the conversation was with."""

    phone_number: str | None
    email: str | None
    first_name: str | None
    last_name: str | None


class ContactIn(Shape):
    """Whom the conversation was with.

    Without number and email nobody can be found again: the names go to the metadata then, under
    `contact`, as unknown keys do.
    """

    phone_number: Annotated[str | None, Field(max_length=60)] = None
    """Read into one form: +14155550123 where it names its country. One that is withheld
    (“anonymous”, +266696687) is nobody's; digits without a country stay a number of their own."""
    email: Annotated[str | None, Field(max_length=320, pattern="@")] = None
    first_name: Annotated[str | None, Field(max_length=200)] = None
    last_name: Annotated[str | None, Field(max_length=200)] = None


class Transfer(Shape):
    """A move to another agent."""

    after_message: Count
    to_agent_id: str
    post_call_analysis_setting: TransferSetting


class TransferIn(Shape):
    """A move to another agent."""

    after_message: Count | None = None
    """How many of the messages, as you send them, came before it; all of them unless told."""
    to_agent_id: Annotated[str, Field(min_length=1, max_length=200)]
    """Our id of the agent, or the platform's."""
    post_call_analysis_setting: TransferSetting | None = None
    """`only_destination_agent` unless told."""


class ConversationRow(Shape):
    """A conversation as lists show it."""

    id: str
    external_id: str
    """The id on the platform; our own where it has none."""
    source: str
    agent_id: str
    """The first agent that answered."""
    agent_version: Count
    channel: Channel
    status: Status
    language: str | None
    started_at: Time | None
    ended_at: Time | None
    duration_ms: Count | None
    direction: Direction | None
    from_number: str | None
    to_number: str | None
    disconnection_reason: str | None
    recording_url: str | None
    contact: Contact | None
    message_count: Count
    analysis_state: AnalysisState
    analysis_reason: Reason | ErrorCode | None
    """Why there is no result: a reason, or the error code of a failure."""
    stale: bool
    """Messages came after the result was made."""
    silent_since: Time | None
    """When it was last heard of, while it is open. Unless its source is `api`, a chat ends after
    the silence that its agent allows, a call after 24 hours or what the installation sets."""
    analysis: JsonObject | None
    """The current result's values, by the name of their fields."""


class Retried(Shape):
    """What a retry of failed first analyses began."""

    queued: Count


class Conversation(ConversationRow):
    """A conversation with everything that is known of it."""

    metadata: JsonObject
    dynamic_variables: JsonObject
    messages: list[Message]
    transfers: list[Transfer]


class ConversationIn(Shape):
    """A conversation as it is handed in: whole, or as it begins.

    Keys that Debrief does not know go to `metadata`. Null is as good as absent.
    """

    agent_id: Annotated[str, Field(min_length=1, max_length=200)]
    """Our id of the agent, or the one that the platform knows it by."""
    channel: Channel
    messages: list[MessageIn] | None = None
    """May be left out only while the conversation is `registered`, `ongoing` or
    `not_connected`."""
    external_id: Annotated[str | None, Field(max_length=300)] = None
    """With `source`: the same pair again is the same conversation."""
    source: Annotated[str | None, Field(max_length=100)] = None
    """Where it comes from; `api` unless told."""
    agent_version: Annotated[int | None, Field(ge=0, le=2**31 - 1)] = None
    """The version that answered; the newest published one unless told."""
    status: Status | None = None
    """`ended` unless told."""
    language: Annotated[str | None, Field(max_length=35)] = None
    started_at: TimeIn | None = None
    """ISO 8601, or seconds or milliseconds since 1970."""
    ended_at: TimeIn | None = None
    """Refused while the status is `registered` or `ongoing`."""
    duration_ms: Annotated[int | None, Field(ge=0, le=10**12)] = None
    direction: Direction | None = None
    from_number: Annotated[str | None, Field(max_length=60)] = None
    to_number: Annotated[str | None, Field(max_length=60)] = None
    disconnection_reason: Annotated[str | None, Field(max_length=100)] = None
    recording_url: Annotated[
        str | None, Field(max_length=4000, pattern="^[Hh][Tt][Tt][Pp][Ss]?://")
    ] = None
    contact: ContactIn | None = None
    metadata: JsonObject | None = None
    dynamic_variables: JsonObject | None = None
    transfers: list[TransferIn] | None = None
    analysis: JsonObject | None = None
    """A result that another platform made: stored as *imported*, as it was sent, and not made
    again. It is not held against the agent's schema; only `call_successful` and `chat_successful`
    are read as yes or no, also where they say “success” or “False”."""


class AppendIn(Closed):
    """Messages to put behind those that are there."""

    messages: list[MessageIn]
    after: Annotated[int | None, Field(ge=0, le=2**31 - 1)] = None
    """How many messages of the conversation, as it is stored, come before these. Those that are
    there already are not added again."""


class CloseIn(Closed):
    """How it ended, as far as it is known."""

    status: Literal["ended", "error", "not_connected"] | None = None
    """`ended` unless told."""
    ended_at: TimeIn | None = None
    """ISO 8601, or seconds or milliseconds since 1970; now unless told."""
    duration_ms: Annotated[int | None, Field(ge=0, le=10**12)] = None
    """From start to end unless told."""
    disconnection_reason: Annotated[str | None, Field(max_length=100)] = None
    analysis: JsonObject | None = None
    """A result that another platform made: stored as *imported*, and not made again."""


class LineError(Shape):
    """A line of a bulk body that was refused."""

    line: Annotated[int, Field(ge=1)]
    """Counted from 1, blank lines too."""
    code: str
    message: str


class BulkReport(Shape):
    """What became of the lines."""

    accepted: Count
    """New conversations."""
    updated: Count
    unchanged: Count
    """Lines that said nothing new."""
    refused: Count
    errors: list[LineError]
    """The refused lines, the first thousand of them."""


class Usage(Shape):
    """What one analysis used. Null where nothing was asked of a model, or no price is known."""

    input_tokens: Count | None
    cached_tokens: Count | None
    output_tokens: Count | None
    estimated: bool
    """Whether Debrief estimated tokens that the provider did not report."""
    cost: Money | None


class Failure(Shape):
    """Why an analysis failed."""

    code: ErrorCode
    message: str


class Analysis(Shape):
    """One pass over a conversation: a result, a failure, or one that is on its way."""

    analysis_id: str
    conversation_id: str
    agent_id: str
    """The agent whose prompts were used: the last one, where it was transferred."""
    analysis: JsonObject
    """The values, by the names that the operator gave; empty ones are left out."""
    status: State
    trigger: Trigger
    agent_version: Count
    config: Annotated[str | None, Field(pattern="^sha256:")]
    """Everything that determined the request, by its hash; null for what was imported."""
    model: str | None
    usage: Usage
    current: bool
    missing_required: list[str]
    """Required fields that stayed empty: the conversation then counts as unsuccessful."""
    truncated: bool
    """Only the beginning and the end of the transcript were read."""
    error: Failure | None
    requested_by: str
    created_at: Time
    finished_at: Time | None


class SideEffects(Closed):
    """What else follows from the results."""

    contacts: bool = True
    webhooks: Literal["off", "changed", "all"] = "off"


class RerunIn(Closed):
    """By which prompts to run again."""

    version: Annotated[int | None, Field(ge=0, le=2**31 - 1)] = None
    """A published version of the last agent; the latest drafts unless told."""
    side_effects: SideEffects | None = None


class NotAnalyzedBody(ErrorBody):
    """Why there is no result."""

    reason: Reason | ErrorCode | Literal["pending", "running", "none"]
    """A closed list of reasons, error codes, or what is under way."""


class NotAnalyzed(Shape):
    """There is no result, and this is why. For an unknown id there is no `reason`."""

    error: NotAnalyzedBody | ErrorBody


_STABLE = "Whether each row keeps its place while analyses run: the order is by start or id."
Conversations = page_of(
    ConversationRow, "Conversations", stable_order=(bool, Field(description=_STABLE))
)
Analyses = page_of(Analysis, "Analyses")
