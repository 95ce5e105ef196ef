"""Two writers at once: one in a thread of its own, with its own connection."""

import threading
import time
from collections.abc import Callable
from typing import Any

from django.db import connection


class Writer:
    """Runs a function in another thread. ``wait_blocked`` returns once it waits for a lock."""

    def __init__(self, do: Callable[[], Any]) -> None:
        self._do = do
        self._pid = 0
        self.error: Exception | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        self._ready.wait(5)

    def _run(self) -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_backend_pid()")
                self._pid = cursor.fetchone()[0]
            self._ready.set()
            self._do()
        except Exception as error:  # noqa: BLE001 (told to the test by `join`)
            self.error = error
        finally:
            self._ready.set()
            connection.close()

    def wait_blocked(self, timeout: float = 10) -> None:
        """Raises AssertionError where it ends, or goes on for so long, without waiting."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self._thread.is_alive():
            with connection.cursor() as cursor:
                cursor.execute("SELECT cardinality(pg_blocking_pids(%s))", [self._pid])
                if cursor.fetchone()[0]:
                    return
            time.sleep(0.01)
        raise AssertionError(f"it never waited for a lock: {self.error}")

    def join(self, timeout: float = 10) -> None:
        """Wait for its end; raises what it raised."""
        self._thread.join(timeout)
        assert not self._thread.is_alive()
        if self.error:
            raise self.error
