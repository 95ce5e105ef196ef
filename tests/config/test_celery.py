"""What runners rely on: a wake-up reaches every worker process, and SIGTERM reaches the runner."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from django.conf import settings

from config import programs
from config.celery import QUEUES, RUNNERS, TO_RUNNERS, app
from config.heartbeat import worker_seen

SECONDS = 30.0


@pytest.fixture
def workers() -> Iterator[list["subprocess.Popen[bytes]"]]:
    names = {"config": "tests.config.runner_worker"}
    argv = [names.get(part, part) for part in programs.worker().argv]
    started = [
        subprocess.Popen(
            argv,
            cwd=settings.BASE_DIR,
            env={**os.environ, **programs.worker().env},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for _ in range(2)
    ]
    yield started
    for process in started:
        process.kill()
        process.wait()


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def listening(client: "redis.Redis") -> int:
    """How many processes a kick would reach: those subscribed to the fanout in our database."""
    ours = str(client.connection_pool.connection_kwargs.get("db", 0))
    return sum(one["db"] == ours and int(one["psub"]) > 0 for one in client.client_list())


def test_a_wake_up_reaches_every_process_and_sigterm_every_runner(
    workers: list["subprocess.Popen[bytes]"], tmp_path: Path
) -> None:
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        wait_until(lambda: listening(client) == 2)
        wait_until(lambda: worker_seen(client))
    app.send_task(
        "tests.run_queue",
        kwargs={"folder": str(tmp_path)},
        queue=RUNNERS,
        declare=TO_RUNNERS["declare"],
    )
    wait_until(lambda: len(list(tmp_path.iterdir())) == 2)

    began = time.monotonic()
    for process in workers:
        process.send_signal(signal.SIGTERM)
    assert [process.wait(timeout=SECONDS) for process in workers] == [0, 0]
    assert time.monotonic() - began < programs.worker().grace
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {
        str(process.pid): "handed back" for process in workers
    }


def test_django_alone_sends_with_the_application_of_the_workers() -> None:
    script = (
        "import django; django.setup(); from celery import current_app; print(current_app.main)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == app.main


def test_no_queue_keeps_results() -> None:
    assert {queue.alias or queue.name for queue in app.conf.task_queues} == {*QUEUES, RUNNERS}
    assert not app.conf.result_backend
    assert app.conf.task_ignore_result


@pytest.mark.parametrize("name", ["analysis.run_queue", "runs.run_queue"])
def test_runners_are_woken_through_the_fanout(name: str) -> None:
    assert app.amqp.router.route({}, name)["queue"].alias == RUNNERS


def test_nothing_in_the_schedule_outlives_its_next_turn() -> None:
    for entry in app.conf.beat_schedule.values():
        assert entry["options"]["expires"] <= entry["schedule"]
