"""Tasks of mappings: wake-up signals for marked contacts and imports."""

from celery import shared_task

from apps.core.tasks import send
from apps.work.host import host

from . import marks
from .directory import imports
from .marked_contacts import fold_marked
from .summaries import SummaryQueue, work_waits

MOST_BATCHES = 200


@shared_task(name="mappings.fold_contacts")
def fold_contacts() -> None:
    """Fold marked contacts, batch by batch, until none is left that can be locked."""
    for _ in range(MOST_BATCHES):
        if not fold_marked():
            return
    marks.request_fold()


@shared_task(name="mappings.summarize")
def summarize() -> None:
    """Make due summaries in this process, unless it does so already."""
    host.run(SummaryQueue())


@shared_task(name="mappings.sweep")
def sweep() -> None:
    """Fold the contacts whose signal was lost, and start due summaries. Runs every few seconds."""
    if work_waits():
        send("mappings.summarize", queue="outbound", kwargs={})
    if marks.any_marked():
        fold_contacts()
        marks.clear_orphans()


@shared_task(name="mappings.run_import")
def run_import(import_id: int) -> None:
    """Check or import the rows of a file that are left."""
    imports.run(import_id)


@shared_task(name="mappings.sweep_imports")
def sweep_imports() -> None:
    """Resume interrupted imports, and delete old ones. Runs every minute."""
    imports.sweep()
