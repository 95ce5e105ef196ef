"""`manage.py run web`: one process of Debrief, for a service manager that runs several."""

import os
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import connections

from config import preflight, programs
from config.embedded.program import Program
from config.preflight import Refused
from config.upgrade import counted, pending_migrations

PROCESSES = ("web", "worker", "scheduler")


class Command(BaseCommand):
    """Turns into a web server, a worker, or the scheduler: signals reach the process itself."""

    help = "Run one process: web, worker, or scheduler. `up` runs all of them."
    requires_system_checks: list[str] = []  # `upgrade` runs them; a start should be quick

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The options of the command line."""
        parser.add_argument("process", choices=PROCESSES)
        parser.add_argument("--port", type=int, default=8000, help="web: port (8000)")
        parser.add_argument("--bind", default="127.0.0.1", help="web: address (127.0.0.1)")
        parser.add_argument("--processes", type=int, default=1, help="web: processes (1)")
        parser.add_argument("--queues", default="", help="worker: queues, with commas (all)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Check what the process needs, then become it. Print an error as one line."""
        try:
            program = _checked(options)
        except Refused as refusal:
            sys.exit(f"debrief: {refusal}")
        connections.close_all()
        os.chdir(program.cwd or settings.BASE_DIR)
        os.execve(program.argv[0], program.argv, os.environ | program.env)  # noqa: S606 (no shell)


def _checked(options: dict[str, Any]) -> Program:
    """Return the program; raise an error where it could not work."""
    bind, port = options["bind"], options["port"]
    if options["process"] == "web":
        preflight.check_bind(bind)
        preflight.check_port(bind, port)
        preflight.check_static_files()
    preflight.check_database()
    preflight.check_broker()
    if pending := pending_migrations():
        lacks = f"the database lacks {counted(pending)}"
        raise Refused(f"{lacks}: run `manage.py upgrade` first")
    if options["process"] == "web":
        return programs.web(bind=bind, port=port, processes=options["processes"])
    if options["process"] == "worker":
        return programs.worker(queues=options["queues"])
    return programs.scheduler()
