"""`manage.py create_intake_source PLATFORM NAME --secret S`: a platform's door, from a shell."""

import sys

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.accounts.actors import Actor
from apps.core.errors import UserError
from apps.intake.models import Platform, PlatformAnalysis
from apps.intake.sources import create_source, door_path


class Command(BaseCommand):
    """Prints the path of the door alone on stdout, so that a script can take it."""

    help = (
        "Create an intake source and print the path of its door, to be entered at the platform "
        "below the address of this installation."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("platform", choices=Platform.values)
        parser.add_argument("name", help="the account at the platform")
        parser.add_argument(
            "--secret",
            required=True,
            help="what the platform signs with; - reads it from standard input, so that it stays "
            "out of the shell's history",
        )
        parser.add_argument(
            "--platform-analysis",
            choices=PlatformAnalysis.values,
            default=PlatformAnalysis.OURS.value,
            help="what becomes of the platform's own analysis (default: ours)",
        )
        parser.add_argument(
            "--wait-minutes",
            type=int,
            default=10,
            help="how long theirs is awaited, where it is (default: 10)",
        )

    def handle(self, *args: object, **options: str) -> None:
        given = options["secret"]
        secret = given if given != "-" else sys.stdin.readline()
        if not secret.strip():
            raise CommandError("The secret is empty: without it nobody could tell who is sending.")
        try:
            source = create_source(
                kind=options["platform"],
                name=options["name"],
                secret=secret,
                platform_analysis=options["platform_analysis"],
                wait_minutes=int(options["wait_minutes"]),
                by=Actor.command("create_intake_source"),
            )
        except UserError as error:
            raise CommandError(" ".join(error.fields.values()) or error.message) from error
        self.stdout.write(door_path(source))
