"""``manage.py backfill``: estimate or start a backfill from a shell."""

import sys
import time
from argparse import ArgumentParser
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from apps.accounts.actors import Actor
from apps.agents.models import Channel
from apps.analysis.models import Webhooks
from apps.conversations.filters import FilterSpec, parse
from apps.conversations.filters.arguments import from_arguments
from apps.core.display import compact, money, pace, timespan
from apps.core.errors import UserError
from apps.runs import services
from apps.runs.estimate_panel import EstimatePanel, estimate_panel
from apps.runs.failures import failures_of
from apps.runs.lanes import check_lane
from apps.runs.models import Run, State
from apps.runs.options import LABELS, STANDARD, WAIT, Options, read_options
from apps.runs.presenters import paused_because, way_out
from apps.runs.preview import make_preview
from apps.runs.progress import Progress, progress_of

_BAR = 30


class Command(BaseCommand):
    help = "Preview and start a backfill."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--channel", required=True, choices=Channel.values)
        parser.add_argument(
            "--filter", action="append", default=[], metavar="K=V", dest="filters",
            help="Filter as in the URL of a history page, such as agent=agt_… or"
            " started_at__gte=2025-10-01. Different names mean AND, the same name means OR.",
        )  # fmt: skip
        parser.add_argument(
            "--sample",
            metavar="N",
            help="Sample N conversations, or a share such as 5%%. The sample is always the same.",
        )
        parser.add_argument(
            "--include-analyzed", action="store_true",
            help="Also reanalyze conversations that already have a result for these prompts.",
        )  # fmt: skip
        parser.add_argument(
            "--contacts", choices=["on", "off"], default="on",
            help="Whether the results update contacts.",
        )  # fmt: skip
        parser.add_argument(
            "--webhooks", choices=Webhooks.values, default=Webhooks.OFF.value,
            help="Which results to send to webhook endpoints. Default: off.",
        )  # fmt: skip
        parser.add_argument(
            "--budget", metavar="USD", help="Pause the backfill when this many dollars are spent."
        )
        parser.add_argument(
            "--lane", choices=list(LABELS), default=STANDARD,
            help="How requests are sent: flex is slower at a lower price, economy uses the "
            "provider's Batch API and takes up to 24 hours.",
        )  # fmt: skip
        parser.add_argument(
            "--flex-unavailable", choices=[WAIT, STANDARD],
            help="Without flex capacity for two minutes: wait, or pay the standard price.",
        )  # fmt: skip
        parser.add_argument(
            "--batch-expired", choices=[WAIT, STANDARD],
            help="After two expired batches in a row: wait, or pay the standard price.",
        )  # fmt: skip
        parser.add_argument("--dry-run", action="store_true", help="Only show the estimate.")
        parser.add_argument("--wait", action="store_true", help="Wait until the backfill finishes.")
        parser.add_argument("--yes", action="store_true", help="Start without confirmation.")

    def handle(self, *args: object, **options: Any) -> None:
        try:
            self._handle(**options)
        except UserError as error:
            raise CommandError(" ".join(error.message.split())) from error

    def _handle(self, **given: Any) -> None:
        channel = given["channel"]
        spec = parse(channel, from_arguments(given["filters"]))
        options = read_options(
            {
                "sample": _sample(given["sample"]),
                "include_analyzed": given["include_analyzed"],
                "side_effects": {
                    "contacts": given["contacts"] == "on",
                    "webhooks": given["webhooks"],
                },
                "budget": given["budget"],
                "lane": given["lane"],
                "flex_unavailable": given["flex_unavailable"],
                "batch_expired": given["batch_expired"],
            }
        )
        figures = self._show(spec, options)
        check_lane(options.lane, figures.preview.models)
        if figures.preview.why_nothing:
            self.stdout.write(figures.preview.why_nothing)
            return
        if given["dry_run"]:
            return
        if not given["yes"] and sys.stdin.isatty() and not self._agrees(figures):
            self.stdout.write("Nothing was started.")
            return
        run = services.start(
            channel=channel,
            params=spec.as_params(),
            options=options,
            by=Actor.command("backfill"),
            token=figures.token,
        )
        noun = Channel(channel).noun(run.total)
        self.stdout.write(f"{run.public_id} started: {run.total:,} {noun}.")
        if given["wait"]:
            self._wait(run)

    def _show(self, spec: FilterSpec, options: Options) -> EstimatePanel:
        """Print the numbers of the preview."""
        preview = make_preview(channel=spec.channel or "", params=spec.as_params(), options=options)
        figures = estimate_panel(preview)
        estimate = preview.estimate
        say = self.stdout.write
        match = f"{preview.matching:,} {Channel(preview.channel).noun(preview.matching)} match"
        say(f"All {match}: no filter is given." if figures.everything else f"{match}.")
        if preview.already_analyzed:
            verb = "analyzed again" if options.include_analyzed else "skipped"
            say(f"  {preview.already_analyzed:,} already up to date: {verb}")
        for count, reason in figures.reasons:
            say(f"  {count:,} can’t be analyzed: {reason}")
        for reason, count in preview.left_out:
            say(f"  {count:,} left out: {reason}")
        for line in figures.drafts:
            notes = ", ".join(note.text for note in line.notes)
            say(f"  {line.conversations:,} with {line.label} ({notes}), {line.model}")
        say(f"{preview.to_analyze:,} to analyze as of {timezone.localtime(preview.as_of):%H:%M:%S}")
        if preview.to_analyze:
            between = f" ({money(estimate.low)} to {money(estimate.high)})" if estimate.cost else ""
            say(
                f"{compact(estimate.input_tokens)} tokens in, {compact(estimate.output_tokens)} out"
                f", {figures.cost}{between}, about {timespan(preview.seconds)}"
            )
            for other in preview.lanes:
                if other.lane != options.lane:
                    cost = money(other.estimate.cost)
                    say(f"  {other.lane}: {cost}, about {timespan(other.seconds)}")
        if preview.stops_after is not None:
            say(f"Stops after about {preview.stops_after:,}: budget {money(options.budget)}")
        return figures

    def _agrees(self, figures: EstimatePanel) -> bool:
        self.stdout.write(
            "This incurs charges for all models, including those that were free in the first run."
        )
        answer = input(f"Start it for {figures.cost}? [y/N] ")
        return answer.strip().lower() in {"y", "yes"}

    def _wait(self, run: Run) -> None:
        """Draw the progress until the run has ended. Exits with 1 unless all went well."""
        try:
            while run.is_active and run.state != State.PAUSED:
                self._draw(run, progress_of(run))
                time.sleep(0.5)
                run.refresh_from_db()
        except KeyboardInterrupt:
            self._end(
                f"{run.public_id} keeps running in the background. To cancel it, open its page."
            )
        progress = progress_of(run)
        self._draw(run, progress)
        self.stdout.write("")
        if run.state == State.PAUSED:
            self._end(f"Paused: {paused_because(run)}. {way_out(run)} {run.reason_detail}")
        self.stdout.write(
            f"{run.get_state_display()}: {progress.done:,} done, {progress.changed:,} of them"
            f" changed, {progress.skipped:,} skipped, {progress.failed:,} failed."
            f" Cost {money(progress.cost)}."
        )
        if progress.failed or run.state != State.COMPLETED:
            codes = ", ".join(f"{code} {n:,}" for code, n in failures_of(run).items())
            self._end(f"Some conversations weren't analyzed. {codes}".strip())

    def _draw(self, run: Run, progress: Progress) -> None:
        """One line that is drawn over itself in a terminal; nothing where there is none."""
        if not self.stdout.isatty():
            return
        if run.freezing:
            text = f"\rPreparing the list: {run.frozen:,} of {run.total:,}\033[K"
            self.stdout.write(text, ending="")
            self.stdout.flush()
            return
        full = round(progress.share * _BAR)
        left = timespan(progress.seconds_left) if progress.seconds_left is not None else "?"
        line = (
            f"\r[{'#' * full}{'.' * (_BAR - full)}] {progress.finished:,} of {run.total:,}"
            f" · {pace(progress.rate) or 'waiting'} · {left} left · {money(progress.cost)}\033[K"
        )
        self.stdout.write(line, ending="")
        self.stdout.flush()

    def _end(self, message: str) -> NoReturn:
        raise CommandError(" ".join(message.split()))


def _sample(text: str | None) -> dict[str, Any] | None:
    """Read ``500`` or ``5%``. The options reject any other text."""
    if text is None:
        return None
    if text.endswith("%"):
        return {"percent": text[:-1]}
    try:
        amount = Decimal(text)
    except InvalidOperation:
        return {"count": text}
    return {"count": int(amount) if amount == int(amount) else text}
