"""The Celery application: queues, routes and schedule.

PostgreSQL knows the work, Celery only moves it: a message is a wake-up that may be lost, doubled
or late. So there is no result backend, messages are acknowledged before they run, and the sweeps of
the schedule restart whatever no one holds.
"""

import gc
import os
import threading
from contextlib import AbstractContextManager
from typing import Any

from celery import Celery
from celery.signals import (
    before_task_publish,
    setup_logging,
    task_postrun,
    task_prerun,
    worker_ready,
    worker_shutdown,
)
from kombu import Exchange, Queue
from kombu.common import Broadcast

from apps.core.log_context import ids_in, log_context, log_ids

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

QUEUES = ("interactive", "live", "backfill", "outbound", "maintenance")
SWEEP_SECONDS = 3.0

# Every worker process has a queue of its own on this exchange: a wake-up of runners reaches all.
RUNNERS = "runners"
_runners = Exchange(RUNNERS, type="fanout", auto_delete=True)
# A sender that has not declared the exchange takes it for a direct one, and the wake-up is lost.
TO_RUNNERS = {"queue": RUNNERS, "declare": [_runners]}

app = Celery("debrief")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(
    accept_content=["json"],
    task_serializer="json",
    task_ignore_result=True,
    task_acks_late=False,
    worker_prefetch_multiplier=1,
    worker_redirect_stdouts=False,
    worker_enable_remote_control=False,
    enable_utc=True,
    timezone="UTC",
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    # Concerns late acknowledgement only, which we do not use; unset, each lost connection warns.
    worker_cancel_long_running_tasks_on_connection_loss=True,
    # A sender never waits for a broker that is away (apps.core.tasks); a worker tries on by itself.
    broker_transport_options={"max_retries": 0, "socket_connect_timeout": 1.0},
    task_queues=[*(Queue(name) for name in QUEUES), Broadcast(RUNNERS, exchange=_runners)],
    task_create_missing_queues=False,
    task_default_queue="maintenance",
    task_routes={
        "analysis.run_queue": TO_RUNNERS,
        "runs.run_queue": TO_RUNNERS,
        "runs.run_trials": TO_RUNNERS,
    },
    beat_schedule={
        # A sweep that could not start before the next one is due is worth nothing.
        name: {
            "task": name,
            "schedule": SWEEP_SECONDS,
            "options": {"queue": "maintenance", "expires": SWEEP_SECONDS},
        }
        for name in (
            "analysis.sweep",
            "runs.sweep",
            "intake.sweep",
            "mappings.sweep",
            "webhooks.sweep",
            "crm.sweep",
            "alerts.sweep",
        )
    }
    | {
        name: {
            "task": name,
            "schedule": 3600.0,
            "options": {"queue": "maintenance", "expires": 3600.0},
        }
        for name in (
            "accounts.purge",
            "alerts.purge",
            "crm.purge",
            "platforms.purge",
            "intake.release",
            "privacy.purge",
            "runs.purge",
            "webhooks.purge",
        )
    }
    | {
        # Asked for when somebody clicks; this only finds what a dead process left.
        name: {
            "task": name,
            "schedule": 60.0,
            "options": {"queue": "maintenance", "expires": 60.0},
        }
        for name in (
            "platforms.replay",
            "mappings.sweep_imports",
            "conversations.sweep_exports",
            "alerts.evaluate",
            "insights.send_reports",
        )
    },
)
app.autodiscover_tasks()

_stopped = threading.Event()
_contexts: dict[str, AbstractContextManager[None]] = {}
"""What names the tasks in progress in the log, by their ids; each is of its thread."""


@setup_logging.connect
def _keep_django_logging(**kwargs: object) -> None:
    """Being connected is all it takes: Celery then leaves the LOGGING of the settings alone."""


@before_task_publish.connect
def _send_ids(headers: dict[str, Any], **kwargs: object) -> None:
    """Take the IDs of the log along: the worker's lines name the request that asked."""
    headers["log_ids"] = log_ids()


@task_prerun.connect
def _name_task(task: Any, task_id: str, kwargs: dict[str, object], **rest: object) -> None:
    ids = getattr(task.request, "log_ids", None) or {}
    context = log_context({**ids, "task_id": task_id, **ids_in(kwargs)}, alone=True)
    context.__enter__()
    _contexts[task_id] = context


@task_postrun.connect
def _end_task(task_id: str, **kwargs: object) -> None:
    if context := _contexts.pop(task_id, None):
        context.__exit__(None, None, None)


@worker_ready.connect
def _start_heartbeat(**kwargs: object) -> None:
    from config.heartbeat import beat_until  # noqa: PLC0415 (reads settings)

    threading.Thread(target=beat_until, args=(_stopped,), name="heartbeat", daemon=True).start()


@worker_ready.connect
def _leave_code_to_itself(**kwargs: object) -> None:
    """Keep the garbage collector off the loaded code: it stays for good (config/asgi.py)."""
    gc.collect()
    gc.freeze()


@worker_shutdown.connect
def _stop_heartbeat(**kwargs: object) -> None:
    _stopped.set()
