"""Wake-ups: a task carries nothing and may be lost, doubled or late. The rows hold the work."""

from celery import shared_task
from django.utils import timezone

from apps.core.tasks import send
from apps.work.host import host

from .checks import checks_wait, run_checks
from .evaluate import close_quiet, evaluate_due, remind
from .messages import MessageQueue, work_waits
from .notices import notify_due
from .retention import forget_old
from .spending import check_caps


@shared_task(name="alerts.check")
def check() -> None:
    """Look at the results that wait."""
    run_checks(timezone.now())


@shared_task(name="alerts.evaluate")
def evaluate() -> None:
    """Evaluate the windows that have ended, and close and remind due incidents."""
    now = timezone.now()
    evaluate_due(now)
    close_quiet(now)
    remind(now)
    notify_due(now)


@shared_task(name="alerts.notify")
def notify() -> None:
    """Write the messages that are due."""
    notify_due(timezone.now())


@shared_task(name="alerts.send")
def send_messages() -> None:
    """Send due messages from this process, unless it does so already."""
    host.run(MessageQueue())


@shared_task(name="alerts.sweep")
def sweep() -> None:
    """Pick up what no one has: results, caps, messages to write, and messages to send."""
    now = timezone.now()
    check_caps(now)
    if checks_wait():
        run_checks(now)
    notify_due(now)
    if work_waits(now):
        send("alerts.send", queue="outbound", kwargs={})


@shared_task(name="alerts.purge")
def purge() -> None:
    """Delete old evaluations and messages."""
    forget_old(timezone.now())
