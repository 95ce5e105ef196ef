"""Kicks: a task carries a lane and may be lost, doubled or late; the rows know the work."""

from typing import Any

from celery import shared_task
from celery.signals import worker_shutdown, worker_shutting_down

from apps.core.tasks import send

from .host import host
from .models import Lane
from .services import lanes_with_work
from .sources import QueueSource


@shared_task(name="analysis.run_engine")
def run_engine(*, lane: str) -> None:
    """Run the engine of a lane in this process, unless one runs already."""
    host.run(QueueSource(Lane(lane)))


@shared_task(name="analysis.sweep")
def sweep() -> None:
    """Kick the engines of every lane in which work waits."""
    for lane in lanes_with_work():
        send("analysis.run_engine", queue=None, kwargs={"lane": lane})


@worker_shutting_down.connect
def _stop_engines(**kwargs: Any) -> None:
    """SIGTERM: engines finish what is in flight and hand back the rest."""
    host.stop()


@worker_shutdown.connect
def _close_client(**kwargs: Any) -> None:
    """All tasks have ended: nothing needs the connections any more."""
    host.close()
