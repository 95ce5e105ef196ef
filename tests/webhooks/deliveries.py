"""Endpoints, events and a courier inside a test's transaction and at a test's own time."""

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from apps.conversations.models import Conversation
from apps.core.cipher import encrypt
from apps.core.signed_requests import Sender
from apps.webhooks import outbox
from apps.webhooks.delivery import DeliveryQueue
from apps.webhooks.models import Delivery, Endpoint, EventType
from apps.webhooks.outbox import NewEvent
from apps.work.runner import Runner
from tests.fakes.receiver import SECRET


def endpoint_to(url: str, *types: EventType, **values: Any) -> Endpoint:
    """An endpoint that wants these events (all, where none are named)."""
    return Endpoint.objects.create(
        url=url,
        secret_encrypted=encrypt(SECRET),
        events=list(types) or EventType.values,
        created_by="tests",
        **values,
    )


def happened(conversation: Conversation | None = None, **payload: Any) -> None:
    """Something to tell, of a conversation or of none."""
    outbox.write(
        [
            NewEvent(
                type=EventType.CONVERSATION_ENDED,
                payload={"event": "conversation.ended", **payload},
                conversation_id=conversation.pk if conversation else None,
            )
        ]
    )


@dataclass
class Clock:
    """A time that stands still until a test moves it; it begins a minute from now."""

    now: datetime

    def __call__(self) -> datetime:
        return self.now

    def move(self, **by: float) -> None:
        self.now += timedelta(**by)


def new_clock() -> Clock:
    # Far enough ahead that on a slow machine nothing happens after it.
    return Clock(timezone.now() + timedelta(minutes=1))


class InPlace(Executor):
    """Does the database work of a courier in the test's own thread, and so in its transaction."""

    def __init__(self) -> None:
        self.waiting: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None]
        self.waiting = queue.SimpleQueue()

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.waiting.put((future, lambda: fn(*args, **kwargs)))
        return future

    def work(self) -> None:
        """Until the courier has ended."""
        while (job := self.waiting.get()) is not None:
            future, call = job
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001 (it belongs to whoever waits for it)
                future.set_exception(error)


def deliver(clock: Callable[[], datetime] | None = None) -> int:
    """Let a courier send everything that is due at this time; how many tries it made."""
    pool, results = InPlace(), []

    async def run() -> int:
        sender = Sender()
        try:
            queue = DeliveryQueue(clock=clock or timezone.now)
            return await Runner(queue=queue, pool=pool, idle=0.0).run(sender)
        finally:
            await sender.aclose()

    def in_thread() -> None:
        try:
            results.append(asyncio.run(run()))
        finally:
            pool.waiting.put(None)

    thread = threading.Thread(target=in_thread)
    thread.start()
    pool.work()
    thread.join()
    assert results, "the courier broke"
    return results[0]


def states() -> dict[str, int]:
    """How many deliveries are in each state."""
    found: dict[str, int] = {}
    for state in Delivery.objects.values_list("state", flat=True):
        found[state] = found.get(state, 0) + 1
    return found


def numbers(received: Sequence[Any]) -> list[int]:
    """The ``n`` of each payload, in the order in which they came."""
    return [one.payload["n"] for one in received]
