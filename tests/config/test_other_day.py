"""The guard against hidden use of the wall clock moves the clock of every process."""

import shutil
import subprocess
import sys
from datetime import UTC, datetime
from threading import Event
from time import monotonic, sleep

import pytest
from django.db import connection

from tests.other_day import MOMENTS, Moment, main

#: Run at another moment by the test below, in a process of its own.
PROBE = "tests/config/test_other_day.py::test_all_clocks_agree"
WAITS = "tests/config/test_other_day.py::test_waits_end_when_they_should"


def test_waits_end_when_they_should() -> None:
    started = monotonic()
    Event().wait(0.05)
    sleep(0.05)
    assert 0.1 <= monotonic() - started < 60


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


@pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler")
def test_the_suite_runs_at_another_moment(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["2028-02-29T00:05@Asia/Kathmandu", "--", PROBE, WAITS]) == 0
    assert "2 passed" in capfd.readouterr().out


@pytest.mark.parametrize("text", MOMENTS)
def test_the_moments_are_read(text: str) -> None:
    moment = Moment.read(text)
    assert f"{moment.at:%Y-%m-%dT%H:%M}" == text.partition("@")[0]
