"""The figures of a period as CSV, made safe for spreadsheets."""

import csv
from collections.abc import Iterator

from apps.conversations.exporting import safe

from .costs import Costs, Line

HEAD = (
    "by", "name", "requests", "cost_usd", "price_unknown", "input_tokens", "cached_tokens",
    "output_tokens",
)  # fmt: skip


class _Echo:
    """A file that answers what is written to it: the csv module wants one."""

    def write(self, text: str) -> str:
        return text


def csv_lines(costs: Costs) -> Iterator[str]:
    """One line for each row of each table; ``by`` says which table. Costs are exact."""
    writer = csv.writer(_Echo())
    yield "\ufeff" + writer.writerow(HEAD)
    for by, lines in (
        ("day", costs.days),
        ("agent", costs.agents),
        ("trigger", costs.triggers),
        ("model", costs.models),
    ):
        for line in lines:
            yield writer.writerow([by, safe(_name(line)), *_figures(line)])


def _name(line: Line) -> str:
    return line.day.isoformat() if line.day else line.label


def _figures(line: Line) -> list[object]:
    sums = line.sums
    cost = "" if sums.rows and sums.unpriced == sums.rows else f"{sums.cost:f}"
    tokens = [sums.input_tokens, sums.cached_tokens, sums.output_tokens]
    return [sums.rows, cost, sums.unpriced, *tokens]
