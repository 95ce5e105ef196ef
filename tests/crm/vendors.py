"""Connectors that speak to the fake vendors, and what tests push through them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from apps.core.guarded_client import GuardedClient
from apps.crm.connectors.base import Account, Activity, FieldType, Person, WantedChange
from apps.crm.connectors.hubspot import HubSpot
from apps.crm.connectors.salesforce import Salesforce
from tests.fakes.hubspot import TOKEN, HubSpotServer
from tests.fakes.salesforce import CLIENT_ID, CLIENT_SECRET, SalesforceServer

TEXT, NUMBER, CHOICE = FieldType.TEXT, FieldType.NUMBER, FieldType.CHOICE


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.time = 1_000.0
        self.slept = 0.0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds
        self.slept += seconds
        await asyncio.sleep(0)


@asynccontextmanager
async def hubspot(
    server: HubSpotServer,
    *,
    clock: Clock | None = None,
    token: str = TOKEN,
    unique: str = "",
    create_missing: bool = False,
) -> AsyncIterator[HubSpot]:
    """A connector to a fake HubSpot account."""
    account = Account("crm_1", {"unique_property": unique}, {"access_token": token}, create_missing)
    async with _client() as client:
        connector = HubSpot(account, client.session)
        connector.api = server.url
        connector.wait_by(clock or Clock())
        yield connector


@asynccontextmanager
async def salesforce(
    server: SalesforceServer,
    *,
    secret: str = CLIENT_SECRET,
    unique: str = "",
    create_missing: bool = False,
) -> AsyncIterator[Salesforce]:
    """A connector to a fake Salesforce organization."""
    config = {"domain": server.url, "client_id": CLIENT_ID, "external_id_field": unique}
    account = Account("crm_1", config, {"client_secret": secret}, create_missing)
    async with _client() as client:
        yield Salesforce(account, client.session)


@asynccontextmanager
async def _client() -> AsyncIterator[GuardedClient]:
    client = GuardedClient()
    try:
        yield client
    finally:
        await client.aclose()


def change(
    wanted: dict[str, Any],
    kind: FieldType | dict[str, FieldType] = TEXT,
    *,
    remote_id: str = "",
    contact_id: str = "ct_1",
    **person: Any,
) -> WantedChange:
    """A change of one contact; ``kind`` is the type of its fields, for all or by name."""
    types = kind if isinstance(kind, dict) else dict.fromkeys(wanted, kind)
    return WantedChange(
        person=Person(contact_id, **person),
        wanted=wanted,
        before={},
        types=types,
        remote_id=remote_id,
        conversation_ids=("conv_1",),
        idempotency_key=f"{contact_id}:1",
    )


def activity(**values: Any) -> Activity:
    """A conversation to be logged: a call of 61 seconds."""
    given: dict[str, Any] = {
        "person": Person("ct_1", email="ada@example.com"),
        "remote_id": "",
        "activity_id": "",
        "conversation_id": "conv_1",
        "channel": "voice",
        "direction": "inbound",
        "subject": "Call with Billing line",
        "summary": "Charged twice for <March>.",
        "outcome": "Unsuccessful",
        "started_at": datetime(2025, 1, 18, 23, 30, tzinfo=UTC),
        "duration_ms": 61_000,
        "url": "https://debrief.example.com/calls/conv_1",
        "idempotency_key": "conv_1:1",
    }
    return Activity(**(given | values))
