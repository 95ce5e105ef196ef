"""`manage.py import_conversations FILE…`: JSON Lines of conversations, from a shell."""

import json
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Q

from apps.accounts.actors import Actor
from apps.agents.models import Agent
from apps.analysis.models import Analysis
from apps.conversations.models import Conversation, Transcript
from apps.core.database import analyze_changed
from apps.core.errors import UserError
from apps.intake.files import DefaultAgents, FileProgress, read_lines
from apps.intake.services import (
    IngestReport,
    RawLine,
    RejectedLine,
    ingest,
)
from apps.platforms.models import UploadChannel
from apps.platforms.rejected_lines import storing_rejected

BAR = 30
SHOWN = 20
"""Rejected lines that are printed; the file next to the imported one has them all."""


class Command(BaseCommand):
    """The line format is that of the bulk upload.

    Exits with 1 where a file cannot be read, and where lines were rejected and none was ingested.
    """

    help = (
        "Import conversations from JSON Lines files (.jsonl, .jsonl.gz, - for standard input). "
        "Importing the same file again changes nothing. Rejected lines and reasons are written "
        "next to the file and shown under Sources."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("files", nargs="+", metavar="FILE")
        parser.add_argument(
            "--agent", default="", help="id of the agent of lines that name none (agt_…)"
        )
        parser.add_argument(
            "--source", default="import", help="source of lines that name none (default: import)"
        )

    def handle(self, *args: object, **options: Any) -> None:
        by = Actor.command("import_conversations")
        source = options["source"].strip()[:100] or "import"
        agents = self._agents(options["agent"], source, by)
        failed, read, refused = False, 0, 0
        for name in options["files"]:
            try:
                report = self._import(name, source, agents, by)
            except UserError as error:
                failed = True
                self.stderr.write(self.style.ERROR(error.message))
            else:
                refused += report.refused
                read += report.total - report.refused
        if failed:
            raise CommandError("Some files couldn't be read.")
        if refused and not read:  # some refused are a matter of the data, all of the call
            raise CommandError("No conversations were imported: every line was rejected.")

    def _agents(self, asked: str, source: str, by: Actor) -> Mapping[str, Agent]:
        if not asked:
            return DefaultAgents(source, by)
        agent = Agent.objects.filter(Q(public_id=asked) | Q(external_id=asked)).first()
        if agent is None:
            raise CommandError(f"There is no agent “{asked}”. Give its id, agt_….")
        return {agent.channel: agent}

    def _import(
        self, name: str, source: str, agents: Mapping[str, Agent], by: Actor
    ) -> IngestReport:
        progress, started = FileProgress(), time.monotonic()
        chosen = None if isinstance(agents, DefaultAgents) else next(iter(agents.values()))
        keeping_lines = storing_rejected(
            UploadChannel.FILE, by=by, source=source, default_agent=chosen
        )
        with RefusedLines(name) as refused, keeping_lines as keep:

            def on_refused(refusal: RejectedLine, line: RawLine) -> None:
                refused.write(refusal, line)
                keep(refusal, line)

            report = ingest(
                lines=read_lines(name, progress=progress),
                by=by,
                source=source,
                default_agents=agents,
                on_refused=on_refused,
                on_progress=lambda so_far: self._draw(name, progress, so_far),
            )
        analyze_changed(Conversation, Transcript, Analysis)
        self._clear()
        self._say(name, report, time.monotonic() - started)
        if report.refused:
            self.stdout.write(f"  all rejected lines and reasons: {refused.path}")
        return report

    def _say(self, name: str, report: IngestReport, seconds: float) -> None:
        rate = report.total / seconds if seconds > 0 else 0
        self.stdout.write(
            f"{name}: {report.accepted:,} accepted, {report.updated:,} updated, "
            f"{report.unchanged:,} unchanged, {report.refused:,} rejected "
            f"({seconds:.1f} s, {rate:,.0f}/s); {report.to_analyze:,} to analyze"
        )
        for error in report.errors[:SHOWN]:
            self.stdout.write(f"  line {error.line}: {error.message} [{error.code}]")
        if report.refused > SHOWN:
            self.stdout.write(f"  and {report.refused - SHOWN:,} more")

    def _draw(self, name: str, progress: FileProgress, report: IngestReport) -> None:
        if not sys.stderr.isatty():
            return
        filled = round(progress.share * BAR)
        bar = "█" * filled + "░" * (BAR - filled)
        self.stderr.write(f"\r{bar} {progress.share:4.0%} {report.total:,} {name}", ending="")
        self.stderr.flush()

    def _clear(self) -> None:
        if sys.stderr.isatty():
            self.stderr.write("\r\x1b[2K", ending="")


class RefusedLines:
    """A file next to the imported one, opened when the first line is rejected.

    Each line is ``{"line", "code", "message", "text"}``; for standard input it lies in the
    working directory.
    """

    def __init__(self, name: str) -> None:
        base = "stdin" if name == "-" else name.removesuffix(".gz")
        self.path = Path(f"{base}.refused.jsonl")
        self._file: IO[str] | None = None

    def __enter__(self) -> "RefusedLines":
        return self

    def __exit__(self, *error: object) -> None:
        if self._file:
            self._file.close()

    def write(self, refusal: RejectedLine, line: RawLine) -> None:
        if self._file is None:
            self._file = self._opened()
        text = line.decode(errors="replace") if isinstance(line, bytes) else str(line)
        entry = {
            "line": refusal.line,
            "code": refusal.code,
            "message": refusal.message,
            "text": text.rstrip("\r\n"),
        }
        self._file.write(json.dumps(entry, ensure_ascii=False) + "\n")

    def _opened(self) -> IO[str]:
        for path in self._places():
            try:
                opened = path.open("w", encoding="utf-8", errors="replace")
            except OSError:
                continue
            self.path = path
            return opened
        raise CommandError(f"Can't write rejected lines to {self.path}.")

    def _places(self) -> Iterator[Path]:
        """Next to the file; where that is read-only, in the working directory."""
        yield self.path
        yield Path(self.path.name)
