"""`manage.py load_demo`: the demo's agents and conversations, once."""

import time
from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from apps.demo.loading import load_demo


def _moment(text: str) -> datetime:
    """Return a moment; without an offset it is one of TIME_ZONE."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else timezone.make_aware(moment)


class Command(BaseCommand):
    help = "Load the demo: four agents and their conversations of the last 60 days. Idempotent."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The options of the command line."""
        parser.add_argument(
            "--now", type=_moment, help="moment to count back from, such as 2028-02-29T00:05"
        )

    def handle(self, *args: object, **options: Any) -> None:
        started = time.monotonic()
        agents, report = load_demo(now=options["now"])
        if report.refused:
            error = report.errors[0]
            raise CommandError(f"Demo line {error.line}: {error.message}")
        if options["verbosity"]:
            self.stdout.write(
                f"Demo: {agents} agents and {report.accepted} conversations loaded "
                f"({time.monotonic() - started:.1f} s); {report.to_analyze} to analyze."
            )
