"""`manage.py up`: everything that Debrief needs to run, until Ctrl-C."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from config.launch import Wish, up
from config.preflight import Refused


class Command(BaseCommand):
    """Starts missing parts, migrates, and supervises web, worker, and scheduler."""

    help = "Start everything: database, broker and model where none are configured, then Debrief."
    requires_system_checks: list[str] = []  # `make check` runs them; a start should be quick

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The options of the command line."""
        parser.add_argument("--no-demo", action="store_true", help="load no demo data")
        parser.add_argument("--port", type=int, default=8000, help="port of the pages (8000)")
        parser.add_argument("--bind", default="127.0.0.1", help="address of the pages (127.0.0.1)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until stopped. Print an error as one line, with exit code 1."""
        try:
            up(Wish(bind=options["bind"], port=options["port"], demo=not options["no_demo"]))
        except Refused as refusal:
            sys.exit(f"debrief: {refusal}")
