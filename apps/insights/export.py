"""Export the costs of a period as CSV."""

from collections.abc import Iterator

from apps.core import spreadsheets

from .costs import CostLine, Costs

HEAD = (
    "by", "name", "requests", "cost_usd", "price_unknown", "input_tokens", "cached_tokens",
    "output_tokens",
)  # fmt: skip


def csv_lines(costs: Costs) -> Iterator[str]:
    """Yield one line for each row of each table; ``by`` says which table. Costs are exact."""
    tables = (
        ("day", costs.days),
        ("agent", costs.agents),
        ("trigger", costs.triggers),
        ("model", costs.models),
    )
    rows = ([by, _name(line), *_figures(line)] for by, lines in tables for line in lines)
    return spreadsheets.csv_lines(HEAD, rows)


def _name(line: CostLine) -> str:
    return line.day.isoformat() if line.day else line.label


def _figures(line: CostLine) -> list[object]:
    sums = line.sums
    cost = "" if sums.rows and sums.unpriced == sums.rows else f"{sums.cost:f}"
    tokens = [sums.input_tokens, sums.cached_tokens, sums.output_tokens]
    return [sums.rows, cost, sums.unpriced, *tokens]
