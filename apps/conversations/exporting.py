"""CSV of what a history page lists, made safe for spreadsheets."""

import csv
import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from django.db.models import F
from django.db.models.expressions import OrderBy
from django.utils import timezone

from .filters import Field, FilterSpec
from .listing import value_of, with_columns

_DANGEROUS = ("=", "+", "-", "@", "\t", "\r")
CHUNK = 2_000


class _Echo:
    """A file that answers what is written to it: the csv module wants one."""

    def write(self, text: str) -> str:
        return text


def csv_lines(spec: FilterSpec, columns: Sequence[Field]) -> Iterator[str]:
    """The lines of the export, in the list's order; the conversation's id comes first."""
    writer = csv.writer(_Echo())
    fields = [field for field in columns if field.name != "id"]
    yield "\ufeff" + writer.writerow(["id", *(safe(field.name) for field in fields)])
    first = OrderBy(F(spec.sort.field.sort), descending=spec.sort.descending, nulls_last=True)
    rows = with_columns(spec.queryset(), columns).order_by(
        first, "-pk" if spec.sort.descending else "pk"
    )
    for conversation in rows.iterator(chunk_size=CHUNK):
        cells = (as_cell(value_of(conversation, field)) for field in fields)
        yield writer.writerow([conversation.public_id, *cells])


def as_cell(value: Any) -> str:
    """A value as text: times in ISO 8601 with their zone, lists and objects as JSON."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return timezone.localtime(value).isoformat()
    if isinstance(value, str):
        return safe(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return safe("; ".join(value))
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def safe(text: str) -> str:
    """Text that a spreadsheet shows and does not run: a quote before what begins a formula."""
    return f"'{text}" if text.startswith(_DANGEROUS) else text
