"""`manage.py upgrade` and `manage.py run` as processes, and what they share."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from apps.llm.models import LanguageModel
from config import healthcheck
from config.preflight import Refused
from config.upgrade import alone, migrate
from tests.config.databases import connect, fresh_database, installed_on
from tests.config.running import SECONDS, ended, free_port, started, wait_until

pytestmark = pytest.mark.xdist_group("up")


def count_of(database: str, table: str) -> int:
    with connect(database) as own:
        row = own.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert row
    return int(str(row[0]))


@pytest.mark.slow
def test_a_killed_upgrade_is_completed_by_two_at_once(tmp_path: Path) -> None:
    """The drill from an older schema: some migrations are applied, and there is data."""
    with fresh_database("debrief_upgrade") as database:
        environ = installed_on(database, tmp_path)
        assert ended(started(environ, "migrate", "accounts", "0001", "--verbosity=0"))[0] == 0
        with connect(database) as own:
            own.execute(
                "INSERT INTO accounts_auditentry (at, who, via, verb, target, detail)"
                " VALUES (now(), 'old', 'system', 'old.entry', '', '{}')"
            )
        before = count_of(database, "django_migrations")
        killed = started(environ, "upgrade")
        wait_until(lambda: count_of(database, "django_migrations") > before)
        killed.kill()
        killed.communicate()

        ends = [ended(process) for process in [started(environ, "upgrade") for _ in range(2)]]

        assert [code for code, _ in ends] == [0, 0], ends
        assert [lines[-1] for _, lines in ends] == ["up to date"] * 2
        assert (
            len([line for _, lines in ends for line in lines if line.startswith("running ")]) == 1
        )
        assert count_of(database, "accounts_auditentry") == 1
        assert count_of(database, "llm_languagemodel") > 0


@pytest.mark.django_db(transaction=True)
def test_upgrades_wait_for_each_other() -> None:
    said: list[str] = []

    def second() -> None:
        try:
            with alone(said.append):
                said.append("second")
        finally:
            connection.close()

    with ThreadPoolExecutor() as other:
        with alone(said.append):
            waiting = other.submit(second)
            wait_until(lambda: said == ["another upgrade is running; waiting for it"])
            said.append("first")
        waiting.result(timeout=SECONDS)
    assert said[1:] == ["first", "second"]


@pytest.mark.django_db
def test_an_upgrade_without_work_says_nothing() -> None:
    said: list[str] = []
    migrate(said.append)
    assert said == []
    assert LanguageModel.objects.exists()


@pytest.mark.django_db
def test_a_newer_schema_is_rejected() -> None:
    MigrationRecorder(connection).record_applied("runs", "0099_future")
    with pytest.raises(Refused, match=r"a newer version .* \(runs 0099_future\): install that"):
        migrate(lambda line: None)


@pytest.mark.django_db
@pytest.mark.parametrize("process", ["web", "worker", "scheduler"])
def test_a_process_does_not_start_before_the_upgrade(
    process: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("config.preflight.check_static_files", lambda: None)
    MigrationRecorder(connection).record_unapplied("webhooks", "0001_initial")
    with pytest.raises(SystemExit, match=r"lacks 1 migration: run `manage.py upgrade` first"):
        call_command("run", process, "--port", str(free_port()))


def test_a_wrong_setting_is_one_line(tmp_path: Path) -> None:
    environ = installed_on("debrief", tmp_path, TIME_ZONE="Mars/Olympus")
    said = ["debrief: TIME_ZONE must be a zone such as Europe/Berlin, not 'Mars/Olympus'."]
    assert ended(started(environ, "upgrade")) == (1, said)


@pytest.mark.django_db(transaction=True)
def test_web_and_worker_run_and_end_on_sigterm(tmp_path: Path) -> None:
    environ = installed_on(str(connection.settings_dict["NAME"]), tmp_path)
    port = str(free_port())
    web = started(environ, "run", "web", "--port", port)
    worker = started(environ, "run", "worker", "--queues", "maintenance")
    try:
        assert worker.stdout
        while not worker.stdout.readline().rstrip().endswith(" ready."):
            assert worker.poll() is None
        wait_until(lambda: not healthcheck.problem(int(port)) or web.poll() is not None)
    finally:
        for process in (web, worker):
            process.terminate()
        ends = [ended(process) for process in (web, worker)]
    assert [code for code, _ in ends] == [0, 0], ends
