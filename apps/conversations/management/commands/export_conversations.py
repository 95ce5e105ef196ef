"""``manage.py export_conversations``: what a filter matches, streamed to standard output."""

from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.agents.models import Channel
from apps.conversations.csv_lines import CHUNK, everything_lines, visible_lines
from apps.conversations.filters import FilterSpec, parse
from apps.conversations.filters.arguments import from_arguments
from apps.conversations.history_list import columns_of
from apps.conversations.schemas import ConversationSchema
from apps.core.errors import UserError


class Command(BaseCommand):
    help = "Export conversations to standard output as CSV or JSON Lines."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--format", required=True, choices=["csv", "jsonl"])
        parser.add_argument("--channel", choices=Channel.values, help="Both where it is left out.")
        parser.add_argument(
            "--filter", action="append", default=[], metavar="K=V", dest="filters",
            help="Query string of a history page; `columns=` selects the CSV columns.",
        )  # fmt: skip
        parser.add_argument(
            "--everything", action="store_true",
            help="CSV with every column, analysis field, metadata key and variable.",
        )  # fmt: skip

    def handle(self, *args: object, **options: Any) -> None:
        try:
            spec = parse(options["channel"], from_arguments(options["filters"]))
        except UserError as error:
            raise CommandError(" ".join(error.message.split())) from error
        if options["format"] == "csv":
            everything = options["everything"]
            lines = everything_lines(spec) if everything else visible_lines(spec, columns_of(spec))
        else:
            lines = _json_lines(spec)
        for line in lines:
            self.stdout.write(line, ending="")


def _json_lines(spec: FilterSpec) -> Iterator[str]:
    """Each conversation whole, in the order in which they came in: what the bulk upload reads."""
    rows = spec.queryset().with_agents().select_related("transcript", "attributes")
    rows = rows.prefetch_related("transfers__to_version__agent").order_by("pk")
    for conversation in rows.iterator(chunk_size=CHUNK):
        yield ConversationSchema.whole(conversation).as_json() + "\n"
