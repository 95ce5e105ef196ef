"""Change contacts and push them inside a test's transaction, at a test's own time."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, TypeVar

from django.utils import timezone

from apps.contacts.models import Contact
from apps.crm.claims import Batch
from apps.crm.client import CrmClient
from apps.crm.models import Push
from apps.crm.outbox import ContactChange, contacts_changed
from apps.crm.push_queue import PushQueue
from apps.crm.record import BatchOutcome
from apps.work.runner import Runner
from tests.webhooks.deliveries import InPlace

T = TypeVar("T")


def change(contacts: Sequence[Contact], *conversation_ids: int, **fields: Any) -> int:
    """Give contacts these values of custom fields, as a fold does; how many pushes that made."""
    changes = []
    for contact in contacts:
        before = {name: contact.fields.get(name) for name in fields}
        contact.fields = contact.fields | fields
        changes.append(ContactChange(contact.pk, before, fields, conversation_ids))
    Contact.objects.bulk_update(contacts, ["fields"])
    return contacts_changed(changes)


def push(clock: Callable[[], datetime] = timezone.now) -> int:
    """Send everything that is due at this time; how many requests that made."""
    pool = InPlace()

    async def run() -> int:
        client = CrmClient()
        try:
            return await Runner(queue=PushQueue(clock), pool=pool, idle=0.0).run(client)
        finally:
            pool.waiting.put(None)
            await client.aclose()

    return _in_thread(run(), pool.work)


def perform(queue: PushQueue, job: Batch) -> None:
    """Send one claimed batch and record it."""

    async def run() -> BatchOutcome:
        client = CrmClient()
        try:
            return await queue.perform(job, client, lambda: None)
        finally:
            await client.aclose()

    queue.record([_in_thread(run())])


def _in_thread(work: Coroutine[Any, Any, T], beside: Callable[[], None] = lambda: None) -> T:
    """Run a coroutine on a loop of its own, and something else in the test's thread."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(asyncio.run, work)
        beside()
        return future.result()


def states() -> dict[str, int]:
    """How many pushes are in each state."""
    return dict(Counter(Push.objects.values_list("state", flat=True)))
