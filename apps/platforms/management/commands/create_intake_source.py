"""`manage.py create_intake_source KIND NAME --secret S`: create a source from a shell."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.accounts.actors import Actor
from apps.core.errors import UserError
from apps.platforms.models import Platform, PlatformAnalysis
from apps.platforms.sources import create_source, webhook_path


class Command(BaseCommand):
    """Prints the webhook path alone on stdout, so that a script can take it."""

    help = "Create an intake source for a platform account and print its webhook path."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("kind", choices=Platform.values, help="the platform")
        parser.add_argument("name", help="what the account is called here")
        parser.add_argument(
            "--secret",
            required=True,
            help="what the platform signs with, or sends as it is; - reads it from standard "
            "input, so that it stays out of the shell's history",
        )
        parser.add_argument(
            "--platform-analysis",
            choices=PlatformAnalysis.values,
            default=PlatformAnalysis.OURS.value,
            help="use the platform's analysis (theirs), run Debrief's (ours, default), or wait",
        )
        parser.add_argument(
            "--wait-minutes",
            type=int,
            default=10,
            help="how long to wait for the platform's analysis (default: 10)",
        )

    def handle(self, *args: object, **options: Any) -> None:
        given = options["secret"]
        secret = given if given != "-" else sys.stdin.readline()
        if not secret.strip():
            raise CommandError("The secret is empty. Debrief needs it to verify requests.")
        try:
            source = create_source(
                kind=options["kind"],
                name=options["name"],
                secret=secret,
                platform_analysis=options["platform_analysis"],
                wait_minutes=options["wait_minutes"],
                by=Actor.command("create_intake_source"),
            )
        except UserError as error:
            raise CommandError(" ".join(error.fields.values()) or error.message) from None
        self.stdout.write(webhook_path(source))
