"""Every code with which the API refuses, its status and a sentence as it may read.

The OpenAPI document shows of each operation those that it may answer; the tests hold the answers
against it. A room that refuses with a new code adds it here and names it at its operation.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Refusal:
    """One code: the status that it comes with, and an example."""

    status: int
    message: str
    fields: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)

    def example(self, code: str) -> dict[str, Any]:
        """The body of an answer with this code."""
        error = {"code": code, "message": self.message, "fields": dict(self.fields)}
        return {"error": {**error, **self.more}}


REFUSALS: dict[str, Refusal] = {
    # What every operation may say
    "unauthorized": Refusal(401, "Send a valid API key: “Authorization: Bearer …”."),
    "forbidden": Refusal(403, "This needs the role Operator; yours is Viewer."),
    "rate_limited": Refusal(
        429, "More than 600 requests in this minute with this key. Try again in 17 seconds."
    ),
    "not_found": Refusal(404, "There is nothing with this id."),
    "bad_signature": Refusal(401, "It was signed more than five minutes away from now."),
    "no_secret": Refusal(401, "The secret of this source has not been entered yet."),
    "secret_unreadable": Refusal(
        401, "Signatures cannot be verified here at present; the page of this source says why."
    ),
    # Bodies, parameters, headers
    "bad_request": Refusal(
        400, "limit is a whole number from 1 to 1000, not “0”.", {"limit": "From 1 to 1000."}
    ),
    "not_json": Refusal(400, "The body is not JSON: Expecting value: line 1 column 1 (char 0)."),
    "incomplete_body": Refusal(400, "The body broke off before its end. Send it again."),
    "repeated_parameter": Refusal(422, "Give limit once, not 2 times.", {"limit": "Give it once."}),
    "invalid_cursor": Refusal(
        400, "This page link is broken or out of date. Leave out the cursor to begin again."
    ),
    "invalid_filter": Refusal(
        400, "There is no field “colour”.", {"colour": "There is no field “colour”."}
    ),
    "too_slow": Refusal(
        408, "The request body did not arrive in time. Nothing was changed. Send it again."
    ),
    "unavailable": Refusal(
        503, "The server can't check the sender. Nothing was changed. Try again."
    ),
    "length_required": Refusal(411, "Send the body with its Content-Length. Nothing was changed."),
    "too_large": Refusal(413, "The request body is larger than 64 MiB. Nothing was changed."),
    "insufficient_storage": Refusal(
        507,
        "The server can't store the request body: No space left on device. Nothing was changed.",
    ),
    "unsupported_media_type": Refusal(
        415, "Send JSON with “Content-Type: application/json”, not text/plain."
    ),
    "unknown_keys": Refusal(
        422, "Unknown: nmae. Known are channel, name.", {"nmae": "There is no such key."}
    ),
    "idempotency_in_progress": Refusal(
        409, "The first request with this Idempotency-Key is still at work."
    ),
    "idempotency_key_reused": Refusal(
        422, "The Idempotency-Key k-1 was used for another request. Use a new key for a new one."
    ),
    "not_available": Refusal(
        422, "Rolling a backfill back is not available in this version of Debrief."
    ),
    # Conversations
    "out_of_step": Refusal(
        409,
        "after is 9, but there are 7 messages: those between are missing. Send them first, or "
        "together with these.",
        {"after": "There are 7 messages."},
    ),
    "missing_field": Refusal(
        422, "messages is missing; send [] where nothing was said.", {"messages": "It is missing."}
    ),
    "invalid_value": Refusal(
        422, "channel is one of voice, chat, not “fax”.", {"channel": "One of voice, chat."}
    ),
    "unknown_agent": Refusal(422, "agent_id: there is no agent “agt_x”.", {"agent_id": "Unknown."}),
    "channel_mismatch": Refusal(
        422,
        "agent_id: the agent “agt_x” is a chat agent, the channel of the conversation is voice.",
        {"agent_id": "A chat agent."},
    ),
    "unknown_version": Refusal(
        422, "The agent has no published version 3.", {"version": "Not published."}
    ),
    "unreadable_file": Refusal(
        422,
        "The body cannot be read: this is a JSON array; send one JSON object per line instead "
        "(JSON Lines).",
    ),
    "unreadable_transcript": Refusal(
        422,
        "transcript cannot be read: it is missing. The payload is kept and can be replayed.",
    ),
    "not_storable": Refusal(422, "The database refuses it: value out of range."),
    "not_analyzed": Refusal(
        404,
        "Not analyzed: still in progress.",
        more={"reason": "not_ended"},
    ),
    "already_running": Refusal(
        409, "This conversation is already being analyzed. Try again when it finishes."
    ),
    "draft_invalid": Refusal(409, "The draft of Billing line names no model."),
    "not_analyzable": Refusal(409, "This call can’t be analyzed: no speech."),
    "wrong_state": Refusal(409, "Only a running backfill can be paused; this one is completed."),
    # Agents
    "invalid_draft": Refusal(
        422,
        "This must be a whole number from 0 to 2,147,483,647 seconds, not “-1”.",
        {"post_analysis.min_seconds": "This must be a whole number from 0."},
    ),
    "agent_deactivated": Refusal(
        409, "Billing line is deactivated. Reactivate it before you edit it."
    ),
    "nothing_to_publish": Refusal(
        409, "V3 says the same as V2: there is nothing to publish. Edit it first."
    ),
    "invalid_side_effects": Refusal(
        422,
        "webhooks must be off, changed, or all, not “some”.",
        {"side_effects": "webhooks must be off, changed, or all, not “some”."},
    ),
    # Webhooks
    "invalid_endpoint": Refusal(
        422,
        "“example.com” must start with https:// or http://.",
        {"url": "“example.com” must start with https:// or http://."},
    ),
    "private_address": Refusal(
        422,
        "10.0.0.8 is an address of this machine or of a private network. Nothing is sent there, "
        "unless WEBHOOK_ALLOW_PRIVATE_ADDRESSES is set on the server.",
        {"url": "Takes an address of the public internet."},
    ),
    "not_sendable": Refusal(409, "This endpoint is disabled. Enable it, then send a test."),
    # Backfills
    "invalid_options": Refusal(
        422,
        "A sample is a whole number from 1 to 10,000,000, not “0”.",
        {"sample": "A whole number from 1 to 10,000,000."},
    ),
    "invalid_token": Refusal(
        400, "This preview cannot be saved any more. Look at the figures again and save those."
    ),
    "nothing_to_analyze": Refusal(422, "No conversations match these filters."),
    "preview_outdated": Refusal(
        409, "A draft was edited since the figures were shown. Look at them again."
    ),
}
