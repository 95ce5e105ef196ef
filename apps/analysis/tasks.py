"""Kicks: a task carries a lane and may be lost, doubled or late; the rows know the work."""

from typing import Any

from celery import shared_task
from celery.signals import worker_shutdown, worker_shutting_down
from django.utils import timezone

from apps.core.tasks import send

from .host import host
from .models import Lane
from .services import lanes_with_work
from .sources import QueueSource
from .trials import services as trials
from .trials.source import AT_ONCE, TrialSource


@shared_task(name="analysis.run_engine")
def run_engine(*, lane: str) -> None:
    """Run the engine of a lane in this process, unless one runs already."""
    host.run(QueueSource(Lane(lane)))


@shared_task(name=trials.RUN_ENGINE)
def run_trials() -> None:
    """Run the engine of trials in this process, unless one runs already."""
    host.run(TrialSource(), concurrency=AT_ONCE)


@shared_task(name="analysis.purge")
def purge() -> None:
    """Throw away what trials found, after some days; hourly is often enough."""
    trials.purge(now=timezone.now())


@shared_task(name="analysis.sweep")
def sweep() -> None:
    """Kick the engines of every lane in which work waits."""
    for lane in lanes_with_work():
        send("analysis.run_engine", queue=None, kwargs={"lane": lane})
    if trials.work_waits():
        send(trials.RUN_ENGINE, queue=None, kwargs={})


@worker_shutting_down.connect
def _stop_engines(**kwargs: Any) -> None:
    """SIGTERM: engines finish what is in flight and hand back the rest."""
    host.stop()


@worker_shutdown.connect
def _close_client(**kwargs: Any) -> None:
    """All tasks have ended: nothing needs the connections any more."""
    host.close()
