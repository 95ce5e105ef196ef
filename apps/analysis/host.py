"""The process that engines live in: one event loop and one client for its whole life.

A Celery worker with the threads pool runs this: a task's thread starts an engine on the loop and
waits for it, so that SIGTERM is seen by the same process and work in flight is brought home.
"""

import asyncio
import threading

from django.conf import settings

from apps.llm.client import LlmClient

from .engine import Engine
from .work import WorkSource

#: How long closing connections may take at the end of a process.
CLOSE_SECONDS = 5.0


class EngineHost:
    """At most one engine per lane in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._engines: dict[str, Engine] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: LlmClient | None = None
        self._stop = threading.Event()

    def run(self, source: WorkSource, *, concurrency: int | None = None) -> int:
        """Run an engine until it ends; how many jobs it did.

        At once 0 where the process is about to end, or where the lane is busy: then its engine is
        kicked, and one that is ending already is followed by another.
        """
        lane, done = source.lane, 0
        while (engine := self._new_engine(source, concurrency)) is not None:
            try:
                running = asyncio.run_coroutine_threadsafe(engine.run(), self.loop)
                done += running.result()
            finally:
                with self._lock:
                    self._engines.pop(lane, None)
            if not engine.kicked:
                break
        return done

    def _new_engine(self, source: WorkSource, concurrency: int | None) -> Engine | None:
        """The lane's engine, unless it has one, which is kicked, or the process is to end."""
        client = self.client
        with self._lock:
            if self._stop.is_set():
                return None
            if busy := self._engines.get(source.lane):
                busy.kick()
                return None
            engine = self._engines[source.lane] = Engine(
                source=source,
                client=client,
                concurrency=concurrency or settings.ANALYSIS_CONCURRENCY,
                stopping=self._stop.is_set,
                grace=settings.STOP_GRACE_SECONDS,
            )
            return engine

    def stop(self) -> None:
        """Take no more work; engines bring home what is in flight and hand back the rest."""
        self._stop.set()

    def close(self) -> None:
        """Close the client's connections; the last thing before the process ends."""
        with self._lock:
            client, loop, self._client = self._client, self._loop, None
        if client is not None and loop is not None:
            asyncio.run_coroutine_threadsafe(client.aclose(), loop).result(CLOSE_SECONDS)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The one loop, in a daemon thread; made at first use."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="engines", daemon=True).start()
            return self._loop

    @property
    def client(self) -> LlmClient:
        """The one client, which keeps its connections open between requests."""
        with self._lock:
            if self._client is None:
                self._client = LlmClient()
            return self._client


host = EngineHost()
