"""A worker's application for test_celery.py: the real one, with an engine that only waits."""

import logging
import os
import threading
import time
from pathlib import Path

from celery.signals import worker_shutting_down

from config.celery import TO_ENGINES, app

_stop = threading.Event()
app.conf.task_routes["tests.run_engine"] = TO_ENGINES
app.conf.beat_schedule = {}


@worker_shutting_down.connect
def _stop_engine(**kwargs: object) -> None:
    _stop.set()


@app.task(name="tests.run_engine")
def run_engine(folder: str) -> None:
    """Work until told to stop, then take a moment to hand back, as an engine does."""
    mine = Path(folder) / str(os.getpid())
    mine.write_text("running")
    told = _stop.wait(timeout=60)
    time.sleep(0.5)
    mine.write_text("handed back" if told else "never told")


@app.task(name="tests.log")
def log(analysis_id: str) -> None:
    """Write a line that names nothing."""
    logging.getLogger(__name__).warning("a line of a task")
