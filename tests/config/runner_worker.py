"""A worker's application for test_celery.py: the real one, with a runner that only waits."""

import logging
import os
import threading
import time
from pathlib import Path

from celery.signals import worker_shutting_down

from config.celery import TO_RUNNERS, app

_stop = threading.Event()
app.conf.task_routes["tests.run_queue"] = TO_RUNNERS
app.conf.beat_schedule = {}


@worker_shutting_down.connect
def _stop_runner(**kwargs: object) -> None:
    _stop.set()


@app.task(name="tests.run_queue")
def run_queue(folder: str) -> None:
    """Work until told to stop, then take a moment to hand back, as a runner does."""
    mine = Path(folder) / str(os.getpid())
    mine.write_text("running")
    told = _stop.wait(timeout=60)
    time.sleep(0.5)
    mine.write_text("handed back" if told else "never told")


@app.task(name="tests.log")
def log(analysis_id: str) -> None:
    """Write a line that names nothing."""
    logging.getLogger(__name__).warning("a line of a task")
