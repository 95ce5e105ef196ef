"""Small payloads of each platform, written for these tests."""

from typing import Any

Json = dict[str, Any]
MS = 1_760_000_000_000


def retell(event: str = "call_ended", **changes: Any) -> Json:
    call: Json = {
        "call_id": "call_1",
        "call_type": "phone_call",
        "agent_id": "agent_r",
        "agent_version": 3,
        "agent_name": "Reception",
        "call_status": "ended",
        "direction": "outbound",
        "from_number": "+12065550100",
        "to_number": "+12065550199",
        "start_timestamp": MS,
        "end_timestamp": MS + 60_500,
        "duration_ms": 60_500,
        "disconnection_reason": "agent_hangup",
        "recording_url": "https://recordings.example/call_1.wav",
        "metadata": {"order": 7},
        "retell_llm_dynamic_variables": {"customer": "Ada"},
        "call_cost": {"combined_cost": 12.5, "product_costs": [{"product": "tts", "cost": 12.5}]},
        "transcript_with_tool_calls": [
            {"role": "agent", "content": "Hello.", "words": [{"word": "Hello.", "start": 0.5}]},
            {
                "role": "tool_call_invocation",
                "tool_call_id": "t1",
                "name": "find_order",
                "arguments": '{"order": 7}',
                "time_sec": 2,
            },
            {"role": "tool_call_result", "tool_call_id": "t1", "content": "shipped"},
            {"role": "user", "content": "Thanks.", "words": []},
            {"role": "node_transition", "former_node_name": "Start", "new_node_name": "End"},
            {"role": "dtmf", "digit": "1"},
            {"role": "sms", "content": "My number", "time_sec": 30},
            {"role": "injected", "content": "The caller is a member.", "time_sec": 31},
            {"role": "transfer_target", "content": "Second line.", "words": []},
            {"role": "hologram", "content": "?"},
        ],
    }
    if event == "call_analyzed":
        call["call_analysis"] = {
            "call_summary": "Asked about an order.",
            "call_successful": True,
            "user_sentiment": "Positive",
            "in_voicemail": False,
            "custom_analysis_data": {"order_id": 7, "not_found": ""},
        }
    return {"event": event, "call": {**call, **changes}}


def retell_chat(event: str = "chat_analyzed", **changes: Any) -> Json:
    chat: Json = {
        "chat_id": "chat_1",
        "agent_id": "agent_c",
        "version": 2,
        "chat_status": "ended",
        "chat_type": "api_chat",
        "start_timestamp": MS,
        "end_timestamp": MS + 5_000,
        "message_with_tool_calls": [
            {"role": "user", "content": "Open?", "created_timestamp": MS + 1_000},
            {"role": "agent", "content": "Until nine.", "created_timestamp": MS + 2_000},
            {"role": "state_transition", "former_state_name": "A", "new_state_name": "B"},
        ],
        "chat_cost": {"combined_cost": 2},
        "chat_analysis": {"chat_summary": "Hours.", "chat_successful": True},
    }
    return {"event": event, "chat": {**chat, **changes}}


def vapi(event: str = "end-of-call-report", **changes: Any) -> Json:
    told: Json = {
        "type": event,
        "startedAt": "2025-10-09T08:53:20.000Z",
        "endedAt": "2025-10-09T08:53:50.000Z",
        "durationSeconds": 30,
        "endedReason": "customer-ended-call",
        "cost": 0.12,
        "costBreakdown": {"llm": 0.02, "total": 0.12},
        "call": {
            "id": "v-1",
            "type": "inboundPhoneCall",
            "status": "queued",
            "assistantId": "as-1",
            "assistantOverrides": {"variableValues": {"plan": "gold"}},
        },
        "assistant": {"id": "as-1", "name": "Finch", "transcriber": {"language": "de"}},
        "customer": {"number": "+4930123456", "name": "Ada Byron"},
        "phoneNumber": {"number": "+4930999999"},
        "analysis": {
            "summary": "Wanted the plan.",
            "successEvaluation": "true",
            "structuredData": {"plan": "gold"},
        },
        "artifact": {
            "recordingUrl": "https://recordings.example/v-1.wav",
            "structuredOutputs": {"u1": {"name": "mood", "result": "calm"}},
            "messages": [
                {"role": "system", "message": "Be kind.", "secondsFromStart": 0},
                {"role": "bot", "message": "Hi.", "secondsFromStart": 1.5, "assistantId": "as-1"},
                {"role": "user", "message": "My plan?", "secondsFromStart": 3},
                {
                    "role": "tool_calls",
                    "message": "",
                    "toolCalls": [{"function": {"name": "plan", "arguments": '{"id": 1}'}}],
                },
                {"role": "tool_call_result", "name": "plan", "result": "gold"},
                {"role": "bot", "message": "Gold.", "secondsFromStart": 9, "assistantId": "as-2"},
            ],
        },
    }
    return {"message": {**told, **changes}}


def elevenlabs(event: str = "post_call_transcription", **changes: Any) -> Json:
    data: Json = {
        "agent_id": "agent_e",
        "agent_name": "Desk",
        "version_id": "v9",
        "conversation_id": "conv_e1",
        "status": "done",
        "transcript": [
            {
                "role": "agent",
                "message": "Hello.",
                "time_in_call_secs": 0,
                "agent_metadata": {"agent_id": "agent_e"},
            },
            {"role": "user", "message": "A room.", "time_in_call_secs": 3},
            {
                "role": "agent",
                "message": None,
                "time_in_call_secs": 4,
                "agent_metadata": {"agent_id": "agent_e"},
                "tool_calls": [{"tool_name": "transfer_to_agent", "params_as_json": "{}"}],
                "tool_results": [{"tool_name": "transfer_to_agent", "result_value": "done"}],
            },
            {
                "role": "agent",
                "message": "Rooms here.",
                "time_in_call_secs": 6,
                "agent_metadata": {"agent_id": "agent_f"},
            },
        ],
        "metadata": {
            "start_time_unix_secs": MS // 1000,
            "call_duration_secs": 20,
            "cost": 140,
            "cost_fiat": 0.05,
            "main_language": "ja",
            "termination_reason": "Call ended by remote party",
            "text_only": False,
            "phone_call": {
                "direction": "inbound",
                "agent_number": "+81300000001",
                "external_number": "+81300000002",
            },
        },
        "analysis": {
            "call_successful": "success",
            "transcript_summary": "Wanted a room.",
            "evaluation_criteria_results": {"polite": {"result": "success", "rationale": "Yes."}},
            "data_collection_results": {
                "nights": {"value": 2, "rationale": "Said so."},
                "floor": {"value": None, "rationale": "Not said."},
            },
        },
        "conversation_initiation_client_data": {"dynamic_variables": {"tier": "b"}},
    }
    return {"type": event, "event_timestamp": MS // 1000, "data": {**data, **changes}}


def failed_call() -> Json:
    return {
        "type": "call_initiation_failure",
        "data": {
            "agent_id": "agent_e",
            "conversation_id": "conv_e2",
            "failure_reason": "busy",
            "metadata": {"type": "twilio", "body": {"From": "+1206", "To": "+12065550142"}},
        },
    }
