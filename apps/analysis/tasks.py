"""Wake-ups: a task carries a priority and may be lost, doubled or late. The rows know the work."""

from celery import shared_task

from apps.core.tasks import send
from apps.llm.specs import Priority
from apps.work.host import host

from .queues import FirstAnalysisQueue, RerunQueue
from .services import priorities_with_work


@shared_task(name="analysis.run_queue")
def run_queue(*, priority: str) -> None:
    """Run the queue of a priority in this process, unless it runs already."""
    host.run(RerunQueue() if priority == Priority.INTERACTIVE else FirstAnalysisQueue())


@shared_task(name="analysis.sweep")
def sweep() -> None:
    """Wake the queues in which work waits."""
    for priority in priorities_with_work():
        send("analysis.run_queue", queue=None, kwargs={"priority": priority})
