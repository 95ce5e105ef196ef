"""`manage.py create_api_key NAME --role …`: a key for a program, from a shell."""

import getpass

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.accounts.actors import Actor
from apps.accounts.forms import ApiKeyForm
from apps.accounts.keys import create_api_key


class Command(BaseCommand):
    """Prints the key alone on stdout, so that a script can take it."""

    help = "Create an API key and print it. You can't view it again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="what the key is for")
        parser.add_argument("--role", required=True, help="viewer, operator, editor or admin")

    def handle(self, *args: object, **options: str) -> None:
        form = ApiKeyForm({"name": options["name"], "role": options["role"]})
        if not form.is_valid():
            raise CommandError(" ".join(str(error[0]) for error in form.errors.values()))
        by = Actor.command(f"create_api_key ({_shell_user()})")
        _, secret = create_api_key(name=form.cleaned_data["name"], role=form.role_value, by=by)
        self.stdout.write(secret)


def _shell_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown"
