"""The three programs of Debrief itself, as `manage.py up` runs them.

On several machines each is started by whatever runs services there, as `manage.py run`
(docs/deployment.md).
"""

import signal
import sys

from django.conf import settings

from config.embedded.program import Program
from config.preflight import is_loopback

# After the runners' own grace: time to hand back what was not answered.
HAND_BACK_SECONDS = 10.0
# Runners hold a thread each for minutes; the rest is for short work beside them.
WORKER_THREADS = 16
# Slower headers, and connections that idle between two requests, are closed.
HEADER_MILLISECONDS = 20_000
# Connections at a time; below the number of files that a web process may open (config/asgi.py).
CONNECTIONS = 4_096


def web(*, bind: str, port: int, processes: int = 1) -> Program:
    """Return the web server; the gateway has its own threads in each process (config/gateway)."""
    options = {
        "--interface": "asginl",
        "--http": "1",
        "--host": bind,
        "--port": str(port),
        "--workers": str(processes),
        "--backpressure": str(CONNECTIONS),
        "--http1-header-read-timeout": str(HEADER_MILLISECONDS),
        "--log-level": "warning",
    }
    return Program(
        name="web",
        argv=_module("granian", *_flat(options), "--no-ws", "config.asgi:application"),
        cwd=settings.BASE_DIR,
        env={} if is_loopback(bind) else {"DEMO_LOGIN": "off"},
        grace=10.0,
    )


def worker(*, queues: str = "") -> Program:
    """Return a worker of these queues (empty: all), in one process with threads.

    Threads, because `worker_shutting_down` then fires in the very process that runs the runners:
    they see that they have to end, and do so within the grace time (docs/deployment.md).
    """
    options = {"--pool": "threads", "--concurrency": str(WORKER_THREADS), "--loglevel": "INFO"}
    flags = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    if queues:
        flags += ["--queues", queues]
    return Program(
        name="worker",
        argv=_module("celery", "--app", "config", "--quiet", "worker", *_flat(options), *flags),
        cwd=settings.BASE_DIR,
        env={
            # It is about pickled messages, which we do not take; in containers root is usual.
            "PYTHONWARNINGS": "ignore:You're running the worker",
            # Django's checks load all pages and the API, which a worker does not have.
            "CELERY_SKIP_CHECKS": "1",
        },
        grace=settings.STOP_GRACE_SECONDS + HAND_BACK_SECONDS,
        death_signal=signal.SIGKILL,  # its database goes too; the leases bring the work back
    )


def scheduler() -> Program:
    """The scheduler. It remembers nothing: a file of last runs could only be stale or broken."""
    options = {"--scheduler": "celery.beat:Scheduler", "--loglevel": "INFO", "--pidfile": ""}
    return Program(
        name="scheduler",
        argv=_module("celery", "--app", "config", "--quiet", "beat", *_flat(options)),
        cwd=settings.BASE_DIR,
        # Told to stop while it sends, it ends in a traceback; it has nothing to lose.
        stop_signal=signal.SIGKILL,
        death_signal=signal.SIGKILL,
    )


def _module(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", name, *arguments]


def _flat(options: dict[str, str]) -> list[str]:
    return [part for pair in options.items() for part in pair]
