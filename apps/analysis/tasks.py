"""Wake-ups: a task carries a lane and may be lost, doubled or late. The rows know the work."""

from celery import shared_task

from apps.core.tasks import send
from apps.work.host import host

from .models import Lane
from .queues import FirstAnalysisQueue, RerunQueue
from .services import lanes_with_work


@shared_task(name="analysis.run_engine")
def run_engine(*, lane: str) -> None:
    """Run the queue of a lane in this process, unless it runs already."""
    host.run(RerunQueue() if lane == Lane.INTERACTIVE else FirstAnalysisQueue())


@shared_task(name="analysis.sweep")
def sweep() -> None:
    """Wake the queues in which work waits."""
    for lane in lanes_with_work():
        send("analysis.run_engine", queue=None, kwargs={"lane": lane})
