#!/usr/bin/env python
"""Debrief's command line: `python manage.py help` lists what it can do."""

import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")


def main() -> None:
    """Run a command; a wrong environment is one clear line, not a traceback."""
    from django.core.exceptions import ImproperlyConfigured  # noqa: PLC0415 (after the environment)
    from django.core.management import execute_from_command_line  # noqa: PLC0415

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"debrief: {error}")


if __name__ == "__main__":
    main()
