"""`manage.py create_sign_in_link ada`: a way in while single sign-on is away or misconfigured."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.accounts import audit, sign_in_links
from apps.accounts.actors import Actor
from apps.accounts.models import User


class Command(BaseCommand):
    """Prints the path of a link that signs a member in once, within 15 minutes."""

    help = "Print a link that signs a member in once, within 15 minutes."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The options of the command line."""
        parser.add_argument("username")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print the path alone."""
        user = User.objects.filter(username__iexact=options["username"]).first()
        if user is None:
            raise CommandError(f"Unknown member “{options['username']}”.")
        if not user.is_active:
            raise CommandError(f"{user.username} is deactivated.")
        if user.is_demo:
            raise CommandError("The demo login has no link.")
        audit.record(
            by=Actor.command("create_sign_in_link"),
            verb="person.link_created",
            target=f"user_{user.pk}",
            detail={"username": user.username},
        )
        self.stdout.write(sign_in_links.link_for(user))
