"""Processes of each test, gone after it; their last words where it failed."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.faults.runs")

from .harness import Workers  # noqa: E402 (after what makes the asserts of its neighbours speak)

_LAST = 6_000


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    """No worker yet, of sixteen requests in flight each."""
    pool = Workers(tmp_path / "workers.log")
    yield pool
    pool.kill_all()
    if pool.log.exists():
        sys.stdout.write(pool.log.read_text(errors="replace")[-_LAST:])
