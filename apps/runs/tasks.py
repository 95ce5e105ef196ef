"""Tasks of runs: wake-up signals that may be lost, duplicated or late."""

from celery import shared_task
from django.utils import timezone

from apps.core.tasks import send
from apps.work.host import host

from . import batches, freezing, recovery, starting
from .backfill_queue import BackfillQueue
from .closing import close_finished
from .economy import steps
from .lanes import RUN_QUEUE, tier_of
from .models import Run
from .progress import join_tallies
from .test_runs import services as trials
from .test_runs.queue import TrialQueue


@shared_task(name=RUN_QUEUE)
def run_queue(*, tier: str = "") -> None:
    """Run the queue of backfills of a service tier in this process, unless it runs already."""
    host.run(BackfillQueue(tier=tier))


@shared_task(name=trials.RUN_TRIALS)
def run_trials() -> None:
    """Run the queue of test runs in this process, unless it runs already."""
    host.run(TrialQueue())


@shared_task(name=starting.DO_BATCHES)
def run_batches() -> None:
    """Do the next batches of runs that ask no model."""
    batches.run_batches()


@shared_task(name=starting.FREEZE)
def freeze() -> None:
    """Write the next items of runs whose lists are being frozen, and queue failed ones again."""
    freezing.run_freezing()


@shared_task(name=steps.TASK)
def ship() -> None:
    """Pack, send, and record batches of the economy lane, as far as something is due."""
    steps.run_steps()


@shared_task(name="runs.sweep")
def sweep() -> None:
    """Close finished runs and wake the runners while anything is left to do."""
    close_finished()
    join_tallies()
    waiting = Run.objects.backfills().claimable().values_list("options", flat=True)
    for tier in sorted({tier_of(options).name for options in waiting}):
        send(RUN_QUEUE, queue=None, kwargs={"tier": tier})
    if Run.objects.freezing().exists() or Run.objects.retrying().exists():
        starting.freeze_soon()
    if steps.work_waits():
        send(steps.TASK, queue=None, kwargs={})
    if batches.work_waits():
        starting.do_batches_soon()
    if trials.work_waits():
        send(trials.RUN_TRIALS, queue=None, kwargs={})
    if recovery.due(timezone.now()):
        send("runs.probe", queue=None, kwargs={})


@shared_task(name="runs.probe")
def probe() -> None:
    """Probe the providers that runs wait for, and resume the runs of those that respond."""
    recovery.probe_due()


@shared_task(name="runs.purge")
def purge() -> None:
    """Delete test runs after their retention time. Once per hour is enough."""
    trials.purge(now=timezone.now())
