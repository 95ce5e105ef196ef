"""The one way to hand work to Celery.

PostgreSQL knows the work, the broker only moves it: a task may be lost, doubled or late, and
a scheduled sweep restarts what no one holds. So sending never fails a request, and never makes
one wait: a broker that is away costs one rejected connection every few seconds.
"""

import logging
import time
from functools import partial
from threading import Lock, Timer
from typing import Any

from celery import current_app
from django.db import transaction
from kombu.exceptions import KombuError

from .breaker import Breaker

logger = logging.getLogger(__name__)

WAKE_SECONDS = 0.05
"""How often a process wakes the same runners at most."""

#: Sweeps fill the gap while the broker is away.
broker_away = Breaker()


def enqueue(task_name: str, *, queue: str | None = None, **kwargs: Any) -> None:
    """Send the task `task_name` with ids in `kwargs` once the current transaction commits.

    `queue` is a queue of Celery; None leaves it to the task's own route.
    Never raises when the broker is away: the work is a row, and the sweep finds it.
    """
    transaction.on_commit(partial(send, task_name, queue=queue, kwargs=kwargs))


def wake(task_name: str, *, queue: str | None = None, **kwargs: Any) -> None:
    """Send a task that only wakes runners once the current transaction commits.

    The first one leaves immediately. Those of the next `WAKE_SECONDS` share one message at their
    end, which begins after each of their commits: a message costs as much as storing a row, here
    and in every worker.
    """
    transaction.on_commit(partial(_wake, task_name, queue, kwargs))


_wake_lock = Lock()
_wakes_at: dict[tuple[Any, ...], float] = {}
"""When the last message of each task was sent, or will be."""


def _wake(task_name: str, queue: str | None, kwargs: dict[str, Any]) -> None:
    key, now = (task_name, *kwargs.items()), time.monotonic()
    with _wake_lock:
        last = _wakes_at.get(key, now - WAKE_SECONDS)
        if last > now:
            return
        wait = max(0.0, last + WAKE_SECONDS - now)
        _wakes_at[key] = now + wait
    if wait:
        Timer(wait, send, [task_name], {"queue": queue, "kwargs": kwargs}).start()
    else:
        send(task_name, queue=queue, kwargs=kwargs)


def send(task_name: str, *, queue: str | None, kwargs: dict[str, Any]) -> bool:
    """Send now; False if the broker did not take it (one line in the log says so)."""
    if broker_away.is_open:
        return False
    try:
        current_app.send_task(
            task_name, kwargs=kwargs, queue=queue, retry=False, ignore_result=True
        )
    except (OSError, KombuError, ConnectionError) as error:
        broker_away.trip()
        logger.warning("Broker unavailable; the sweep will pick up %s: %s", task_name, error)
        return False
    return True
