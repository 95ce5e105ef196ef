"""The process that the courier lives in: one event loop and one HTTP client for its whole life."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

from django.conf import settings
from django.db import connection

from .courier import Courier
from .sending import Sender

CLOSE_SECONDS = 5.0
LOOK_UPS = 64
"""Names that are looked up at once: each takes a thread, which one that nobody answers for holds
for half a minute. A loop's own few would let one such endpoint hold up all the others."""


class CourierHost:
    """At most one courier in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sender: Sender | None = None
        self._courier: Courier | None = None
        self._running = self._again = False
        self._stop = threading.Event()

    def run(self) -> int:
        """Run a courier until it ends; how many tries it made.

        At once 0 where the process is about to end, or where one is at work: then that is told
        to look again, and one that is ending already is followed by another.
        """
        sent = 0
        while self._begin():
            try:
                sent += asyncio.run_coroutine_threadsafe(self._deliver(), self.loop).result()
            finally:
                with self._lock:
                    self._running, self._courier = False, None
            if not self._again:
                break
        return sent

    def _begin(self) -> bool:
        with self._lock:
            if self._stop.is_set():
                return False
            if self._running:
                self._again = True
                if self._courier is not None:
                    self._courier.kick()
                return False
            self._running, self._again = True, False
            return True

    async def _deliver(self) -> int:
        self._sender = self._sender or Sender()
        with ThreadPoolExecutor(1, thread_name_prefix="db-webhooks") as pool:
            self._courier = Courier(
                sender=self._sender,
                pool=pool,
                stopping=self._stop.is_set,
                grace=settings.STOP_GRACE_SECONDS,
            )
            try:
                return await self._courier.run()
            finally:
                await asyncio.get_running_loop().run_in_executor(pool, _close_connection)

    def stop(self) -> None:
        """Take no more work; what is on its way is brought home."""
        self._stop.set()

    def close(self) -> None:
        """Close the client's connections; the last thing before the process ends."""
        with self._lock:
            sender, loop, self._sender = self._sender, self._loop, None
        if sender is not None and loop is not None:
            asyncio.run_coroutine_threadsafe(sender.aclose(), loop).result(CLOSE_SECONDS)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The one loop, in a daemon thread; made at first use."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._loop.set_default_executor(
                    ThreadPoolExecutor(LOOK_UPS, thread_name_prefix="look-up")
                )
                threading.Thread(
                    target=self._loop.run_forever, name="webhooks", daemon=True
                ).start()
            return self._loop


def _close_connection() -> None:
    """Of the thread that this runs in: named outside, it would be the caller's own."""
    connection.close()


host = CourierHost()
