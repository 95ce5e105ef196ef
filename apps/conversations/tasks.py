"""Tasks of exports: wake-up signals that may be lost, duplicated, or late."""

from celery import shared_task

from . import exports


@shared_task(name=exports.TASK)
def write_export(pk: int) -> None:
    """Write the next parts of an export."""
    exports.write(pk)


@shared_task(name="conversations.sweep_exports")
def sweep_exports() -> None:
    """Resume interrupted exports, and delete old ones. Runs every minute."""
    exports.sweep()
