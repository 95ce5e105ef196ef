"""The guard against hidden use of the wall clock moves the clock of every process."""

import subprocess
import sys
from datetime import UTC, datetime

import pytest
from django.db import connection

from tests.other_day import MOMENTS, Moment, find_library, main

#: Run at another moment by the test below, in a process of its own.
PROBE = "tests/config/test_other_day.py::test_all_clocks_agree"


@pytest.mark.django_db
def test_all_clocks_agree() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (database,) = cursor.fetchone()
    code = "import time; print(time.time())"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = datetime.now(UTC)
    assert abs((here - database).total_seconds()) < 60
    assert abs(here.timestamp() - float(child.stdout)) < 60


@pytest.mark.skipif(find_library() is None, reason="libfaketime is not installed")
def test_the_suite_runs_at_another_moment(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["2028-02-29T00:05@Asia/Kathmandu", "--", PROBE]) == 0
    assert "1 passed" in capfd.readouterr().out


@pytest.mark.parametrize("text", MOMENTS)
def test_the_moments_are_read(text: str) -> None:
    moment = Moment.read(text)
    assert f"{moment.at:%Y-%m-%dT%H:%M}" == text.partition("@")[0]
