"""Free disk space: in DATA_DIR, and where PostgreSQL stores its files."""

import os
import tempfile
import threading
import time
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, connection, transaction

PROBE_BYTES = 1024 * 1024
REMEMBERED_SECONDS = 10.0


class Probe:
    """Writes for real, at most once in `REMEMBERED_SECONDS` per process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._looked_at = float("-inf")
        self._reason = ""

    def reason(self) -> str:
        """Return why nothing can be written; empty where it can."""
        with self._lock:
            now = time.monotonic()
            if now >= self._looked_at + REMEMBERED_SECONDS:
                self._reason = folder_problem(settings.DATA_DIR) or database_problem()
                self._looked_at = now
            return self._reason

    def forget(self) -> None:
        """Look again at the next question."""
        self._looked_at = float("-inf")


def folder_problem(folder: Path) -> str:
    """Return why a file cannot be written there; empty where it can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            left = PROBE_BYTES
            while left > 0:
                left -= file.write(b"\0" * left)
            os.fsync(file.fileno())
    except OSError as error:
        return f"DATA_DIR can't be written: {error.strerror}."
    return ""


def database_problem() -> str:
    """Return why PostgreSQL cannot write to its disk; empty where it can, or is away.

    A sort that does not fit into memory is written to the disk of the data, and leaves nothing.
    """
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL work_mem = '64kB'")
            cursor.execute(
                "SELECT count(*) FROM (SELECT repeat(n::text, 20) AS t"
                " FROM generate_series(1, 10000) AS n ORDER BY t OFFSET 0) AS sorted"
            )
    except DatabaseError as error:
        if getattr(error.__cause__, "sqlstate", None) == "53100":
            return "PostgreSQL has no disk space left."
    return ""


probe = Probe()
