"""`manage.py upgrade`: everything between installing a version and starting it."""

import sys
from typing import Any

from django.core.management.base import BaseCommand

from config.preflight import Refused
from config.upgrade import upgrade


class Command(BaseCommand):
    """Checks the settings, migrates, and collects static files. Safe to repeat."""

    help = "Check settings, migrate, and collect static files. Safe to repeat and to run twice."
    requires_system_checks: list[str] = []  # part of the upgrade, with one line for each problem

    def handle(self, *args: Any, **options: Any) -> None:
        """Upgrade. Print an error as one line, with exit code 1."""
        try:
            upgrade(self.stdout.write)
        except Refused as refusal:
            sys.exit(f"debrief: {refusal}")
        self.stdout.write("up to date")
