#!/usr/bin/env python
"""Debrief's command line: `python manage.py help` lists what it can do."""

import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")


def main() -> None:
    """Run a command; a wrong environment is one clear line, not a traceback."""
    from django.core.exceptions import ImproperlyConfigured  # noqa: PLC0415 (after the environment)
    from django.core.management import execute_from_command_line  # noqa: PLC0415
    from django.db import OperationalError  # noqa: PLC0415

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"debrief: {error}")
    except OperationalError as error:
        # Without an SQLSTATE there was no server to give one: it could not be reached at all.
        if getattr(error.__cause__, "sqlstate", None) is not None:
            raise
        said = (str(error).strip() or "no reason given").splitlines()[0]
        sys.exit(f"debrief: can't connect to the database; is `make run` running? ({said})")


if __name__ == "__main__":
    main()
