"""The one way to hand work to Celery.

PostgreSQL knows the work, the broker only moves it: a task may be lost, doubled or late, and
a scheduled sweep restarts what nobody holds. So sending never fails a request, and never makes
one wait: a broker that is away costs one refused connection every few seconds.
"""

import logging
import time
from functools import partial
from typing import Any

from celery import current_app
from django.db import transaction
from kombu.exceptions import KombuError

logger = logging.getLogger(__name__)

AWAY_SECONDS = 5.0
"""How long sending is left alone after the broker could not be reached; sweeps fill the gap."""

_away_until = 0.0


def enqueue(task_name: str, *, queue: str | None = None, **kwargs: Any) -> None:
    """Send the task `task_name` with ids in `kwargs` once the current transaction commits.

    `queue` names the lane (architecture.md); None leaves it to the task's own route.
    Never raises when the broker is away: the work is a row, and the sweep finds it.
    """
    transaction.on_commit(partial(send, task_name, queue=queue, kwargs=kwargs))


def send(task_name: str, *, queue: str | None, kwargs: dict[str, Any]) -> bool:
    """Send now; False if the broker did not take it (one line in the log says so)."""
    global _away_until  # noqa: PLW0603 (one number per process, and a lost update costs nothing)
    if time.monotonic() < _away_until:
        return False
    try:
        current_app.send_task(
            task_name, kwargs=kwargs, queue=queue, retry=False, ignore_result=True
        )
    except (OSError, KombuError, ConnectionError) as error:
        _away_until = time.monotonic() + AWAY_SECONDS
        logger.warning("Broker away, %s is left to the sweep: %s", task_name, error)
        return False
    return True
