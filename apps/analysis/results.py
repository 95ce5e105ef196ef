"""What follows from a result: the history columns, and what changed since the one before."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apps.agents.builtins import SENTIMENTS
from apps.core.display import one_line
from apps.core.yes_no import worded_truth

_SENTIMENT_BY_LOWER = {name.lower(): name for name in SENTIMENTS}


@dataclass(frozen=True, slots=True)
class HistoryColumns:
    """The current result as a history page shows it.

    ``outcome`` is the value in words, ``successful`` what it means: the value of a yes/no field or
    of a word that says as much (“true”, “failed”, “resolved”), unknown for any other choice, and
    false where a required field stayed empty. Column, filter and chart all read it.
    """

    summary: str
    outcome: str
    successful: bool | None
    sentiment: str


def history_columns(
    output: Mapping[str, Any], columns: Mapping[str, str], missing_required: list[str]
) -> HistoryColumns:
    """Fill the three history columns from a result, by the field that feeds each."""
    verdict = output.get(columns.get("outcome", ""))
    successful = worded_truth(verdict)
    return HistoryColumns(
        summary=one_line(output.get(columns.get("summary", ""))),
        outcome=one_line(verdict)[:200],
        successful=False if missing_required else successful,
        sentiment=_sentiment(output.get(columns.get("sentiment", ""))),
    )


def changed_fields(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> list[str]:
    """Return the fields whose values differ, in the newer result's order, then removed ones."""
    old = before or {}
    names = [*after, *(name for name in old if name not in after)]
    return [n for n in names if not _same(old.get(n), after.get(n))]


def _same(one: object, other: object) -> bool:
    """Compare as JSON, where an empty list or text is the same as nothing."""
    return _equal(one, other) or (one in (None, "", []) and other in (None, "", []))


def _equal(one: object, other: object) -> bool:
    """Compare as JSON at every depth: true is not 1, though Python says so."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[k], other[k]) for k in one)
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def _sentiment(value: object) -> str:
    """Use one spelling for the four common words, so that all agents sort the same."""
    text = one_line(value)[:200]
    return _SENTIMENT_BY_LOWER.get(text.lower(), text)
