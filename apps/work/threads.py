"""Threads for the database work of a runner, whose loop never waits for the database."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Self, TypeVar

from django.db import InterfaceError, OperationalError, connection

from apps.core.database import is_passing

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: One claims or extends while the other records.
THREADS = 2


class DatabaseThreads:
    """Threads with a database connection each, which are closed at the end of the context.

    ``pool`` does the work instead, where it is given.
    """

    def __init__(self, name: str, pool: Executor | None = None) -> None:
        self._own = None if pool else ThreadPoolExecutor(THREADS, thread_name_prefix=f"db-{name}")
        self._pool = pool or self._own

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._own is not None:
            await self._close_connections()
            self._own.shutdown()

    async def run(self, function: Callable[..., T], *args: object) -> T:
        """Run database work in a thread; while the database is away, try again."""
        delay = 0.2
        while True:
            try:
                return await asyncio.get_running_loop().run_in_executor(
                    self._pool, _with_connection, function, *args
                )
            except (OperationalError, InterfaceError) as error:
                if not is_passing(error):
                    raise
                logger.warning("Database unavailable (%s); retrying in %.1f s", error, delay)
                await asyncio.sleep(delay)
                delay = min(delay * 2, 5.0)

    async def _close_connections(self) -> None:
        """Close the connection of each thread. The barrier keeps one thread from doing both."""
        both = threading.Barrier(THREADS)

        def close() -> None:
            with contextlib.suppress(threading.BrokenBarrierError):
                both.wait(5)
            connection.close()

        await asyncio.gather(*(self.run(close) for _ in range(THREADS)))


def _with_connection(function: Callable[..., T], *args: object) -> T:
    """Call with this thread's connection; a broken one is dropped, so that the next is new."""
    try:
        return function(*args)
    except (OperationalError, InterfaceError):
        connection.close()
        raise
