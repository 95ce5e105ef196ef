"""Run queues in a worker process: one event loop and one client of each kind for all its life.

A Celery worker with the threads pool runs this. A task's thread starts a runner on the loop and
waits for it, so that the process that gets SIGTERM is the one that finishes the work in flight.
"""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from celery.signals import worker_shutdown, worker_shutting_down
from django.conf import settings

from apps.core.log_context import log_context

from .queue import J, O, Queue
from .runner import Runner

#: How long closing connections may take at the end of a process.
CLOSE_SECONDS = 5.0


class Host:
    """At most one runner per queue in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runners: dict[str, Runner[Any, Any]] = {}
        self._clients: dict[Callable[[], Any], Any] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = threading.Event()

    def run(self, queue: Queue[J, O]) -> int:
        """Run a queue until it has no work; return how many jobs were done.

        Return 0 immediately where the process is about to end, or where the queue has a runner:
        that one is woken, and if it is about to end, another one follows.
        """
        done = 0
        while (runner := self._new_runner(queue)) is not None:
            try:
                done += asyncio.run_coroutine_threadsafe(self._run(runner), self.loop).result()
            finally:
                with self._lock:
                    self._runners.pop(queue.name, None)
            if not runner.woken:
                break
        return done

    def _new_runner(self, queue: Queue[J, O]) -> Runner[J, O] | None:
        with self._lock:
            if self._stop.is_set():
                return None
            if running := self._runners.get(queue.name):
                running.wake()
                return None
            runner = self._runners[queue.name] = Runner(
                queue=queue,
                stopping=self._stop.is_set,
                grace=settings.STOP_GRACE_SECONDS,
            )
            return runner

    async def _run(self, runner: Runner[J, O]) -> int:
        make = runner.queue.client_class
        with self._lock:
            # Made on the loop, which some clients need.
            client = self._clients.get(make) or self._clients.setdefault(make, make())
        # A runner does the work of many requests, not only of the one that woke it.
        with log_context({"queue": runner.queue.name}, alone=True):
            return await runner.run(client)

    def stop(self) -> None:
        """Stop claiming work. Runners finish the jobs in flight and hand back the rest."""
        self._stop.set()

    def close(self) -> None:
        """Close the clients' connections: the last thing before the process ends."""
        with self._lock:
            clients, loop = list(self._clients.values()), self._loop
            self._clients.clear()
        if loop is not None:
            for client in clients:
                asyncio.run_coroutine_threadsafe(client.aclose(), loop).result(CLOSE_SECONDS)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Return the one loop, in a daemon thread, started at first use."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="work", daemon=True).start()
            return self._loop


host = Host()


@worker_shutting_down.connect
def _stop(**kwargs: Any) -> None:
    """Handle SIGTERM."""
    host.stop()


@worker_shutdown.connect
def _close(**kwargs: Any) -> None:
    """Close the clients after all tasks have ended."""
    host.close()
