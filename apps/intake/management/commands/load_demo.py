"""`manage.py load_demo`: the demo's agents and conversations, once."""

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.intake.demo_data import load_demo


class Command(BaseCommand):
    help = "Load the demo: four agents and their conversations of the last 60 days. Idempotent."

    def handle(self, *args: object, **options: Any) -> None:
        started = time.monotonic()
        agents, report = load_demo()
        if report.refused:
            error = report.errors[0]
            raise CommandError(f"Demo line {error.line}: {error.message}")
        if options["verbosity"]:
            self.stdout.write(
                f"Demo: {agents} agents and {report.accepted} conversations loaded "
                f"({time.monotonic() - started:.1f} s); {report.to_analyze} to be analysed."
            )
