"""A dump of a run in progress, restored into another database, continues there."""

import subprocess
from pathlib import Path

import pytest
from django.db import connection

from tests.config.databases import client_program, fresh_database
from tests.fakes.fixtures import FakeLLM

from .harness import Workers, wait_until
from .runs import assert_consistent, done, is_over, run_of, states

ITEMS = 120

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def address(name: str) -> str:
    of = connection.settings_dict
    parts = {"host": of["HOST"], "port": of["PORT"], "user": of["USER"], "dbname": name}
    return " ".join(f"{key}={value}" for key, value in parts.items() if value)


def command(program: str, *arguments: str) -> None:
    subprocess.run([client_program(program), *arguments], check=True, timeout=120)


def test_a_restored_dump_continues_its_run(
    fake_llm: FakeLLM, workers: Workers, tmp_path: Path
) -> None:
    fake_llm.set(latency=0.25)
    workers.concurrency = 8
    workers.start()
    run = run_of(fake_llm, ITEMS)
    wait_until(lambda: done(run) >= 16)
    dump = str(tmp_path / "debrief.dump")
    before = str(connection.settings_dict["NAME"])
    command("pg_dump", "--format=custom", f"--file={dump}", f"--dbname={address(before)}")
    workers.kill_all()

    with fresh_database("debrief_restored") as restored:
        options = ["--no-owner", "--exit-on-error", f"--dbname={address(restored)}"]
        command("pg_restore", *options, dump)
        connection.close()
        connection.settings_dict["NAME"] = restored
        try:
            at_dump = done(run)
            assert 16 <= at_dump < ITEMS
            workers.start()
            wait_until(lambda: is_over(run))
            assert states(run) == {"done": ITEMS}
            assert_consistent(current=ITEMS)
        finally:
            workers.kill_all()
            connection.close()
            connection.settings_dict["NAME"] = before
