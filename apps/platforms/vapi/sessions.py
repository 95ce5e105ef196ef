"""Vapi: chats. A session holds all turns of a chat, and each message about it has all of it."""

from collections.abc import Iterator, Mapping
from typing import Any

from apps.conversations.inputs import LineRefused
from apps.platforms.adapter import Arrived
from apps.platforms.mapping import (
    Json,
    caller,
    filled,
    imported,
    mapping,
    needed_id,
    number,
    spoke,
    text,
    transcript,
)

from .items import read_item, structured

_READ = {"session.created", "session.updated", "session.deleted"}


def read(event: str, told: Json) -> Arrived:
    """Return a message about a session, or about a turn of a chat. Raises LineRefused.

    A turn that belongs to a session is left to the session's own message. Others can't be put
    together, and are rejected so that they are stored and can be replayed.
    """
    if event in _READ:
        return _session(event, told)
    chat = mapping(told.get("chat"))
    if event == "chat.created" and not text(chat.get("sessionId")):
        raise LineRefused(
            "unreadable_transcript",
            "Couldn't read this chat: it isn't part of a session, so its turns can't be put "
            "together. In Vapi, send the chat's messages in one session.",
        )
    note = "Ignored: the messages about its session contain this information."
    return Arrived(event, text(chat.get("sessionId"), 300), note=note)


def _session(event: str, told: Json) -> Arrived:
    session = mapping(told.get("session"))
    external_id = needed_id(session.get("id"), "session.id")
    messages = transcript({"session.messages": session.get("messages")}, _read_item)
    assistant = mapping(session.get("assistant")) or mapping(told.get("assistant"))
    agent = text(session.get("assistantId")) or text(session.get("squadId"))
    agent = agent or text(assistant.get("id"))
    over = text(session.get("status")) == "completed" or event == "session.deleted"
    artifact = mapping(session.get("artifact"))
    found = filled(dict(structured(artifact.get("structuredOutputs")))) or None
    result, kept, note = imported(found, took_place=spoke(messages))
    conversation = {
        "external_id": external_id,
        "agent_id": agent,
        "channel": "chat",
        "status": "ended" if over else "ongoing",
        "started_at": session.get("createdAt") or None,
        "ended_at": (session.get("updatedAt") or None) if over else None,
        "contact": _contact(mapping(session.get("customer")) or mapping(told.get("customer"))),
        "messages": messages,
        "metadata": {**_metadata(session, assistant), **kept},
        "dynamic_variables": dict(
            mapping(mapping(session.get("assistantOverrides")).get("variableValues"))
        ),
    }
    names = {agent: text(assistant.get("name"))}
    return Arrived(event, external_id, conversation, result, note, names, final=over)


def _read_item(item: Mapping[str, Any], _so_far: int) -> Iterator[Json]:
    yield from read_item(item, has_start=False)


def _contact(customer: Mapping[str, Any]) -> Json:
    first, _, last = text(customer.get("name"), 200).partition(" ")
    email = text(customer.get("email"), 320)
    return {
        "phone_number": caller(text(customer.get("number"), 60)),
        "email": email if "@" in email else "",
        "first_name": first,
        "last_name": last.strip(),
    }


def _metadata(session: Mapping[str, Any], assistant: Mapping[str, Any]) -> Json:
    facts = {
        "platform_agent_name": text(assistant.get("name")),
        "platform_type": "chat",
        "platform_session_name": text(session.get("name")),
        "platform_cost": number(session.get("cost")),
        "platform_costs": session.get("costs"),
        "platform_squad": text(session.get("squadId")),
    }
    return {**mapping(assistant.get("metadata")), **filled(facts)}
