"""The file of a shipment: one line for each of its items."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from apps.analysis.claims import AnalysisJob
from apps.analysis.model_call import request_line
from apps.analysis.prompts import TranscriptTooLong
from apps.llm.batch_api import MOST_BYTES
from apps.llm.errors import INTERNAL_MESSAGE, ErrorCode
from apps.runs.backfill_queue import load_jobs
from apps.runs.models import Shipment

logger = logging.getLogger(__name__)

CHUNK = 500
"""Transcripts in memory at a time."""


@dataclass(slots=True)
class Contents:
    """What a file holds: the number of its lines, and the items that have none.

    ``failed`` can't be asked about, by item as code and message. ``left`` didn't fit.
    """

    lines: int = 0
    failed: dict[int, tuple[str, str]] = field(default_factory=dict)
    left: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class LineName:
    """The ``custom_id`` of a line: its item, the attempt, and how many messages were sent."""

    item_id: int
    attempt: int
    messages: int

    def __str__(self) -> str:
        return f"item-{self.item_id}-{self.attempt}-{self.messages}"

    @classmethod
    def parse(cls, text: str) -> "LineName | None":
        """Return the parts of a name; None for one that Debrief didn't give."""
        prefix, *numbers = text.split("-")
        if prefix != "item" or len(numbers) != 3:
            return None
        if not all(number.isascii() and number.isdecimal() for number in numbers):
            return None
        parts = [int(number) for number in numbers]
        return cls(*parts) if max(parts) < 2**63 else None


def write_lines(shipment: Shipment, file: BinaryIO) -> Contents:
    """Write the lines of a shipment's items into a file, up to the provider's limit."""
    contents, size = Contents(), 0
    rows = shipment.items.filter(state="running").order_by("pk").values_list("pk", "attempts")
    attempts = dict(rows)
    for job in _jobs(list(attempts)):
        name = LineName(job.analysis_id, attempts[job.analysis_id], len(job.messages))
        try:
            line = request_line(job, str(name))
        except TranscriptTooLong as error:
            contents.failed[name.item_id] = (ErrorCode.TRANSCRIPT_TOO_LONG, str(error))
            continue
        except Exception:  # whatever it is, the others are sent
            logger.exception("The request of item %d can't be written", name.item_id)
            contents.failed[name.item_id] = (ErrorCode.INTERNAL, INTERNAL_MESSAGE)
            continue
        size += len(line)
        if size > MOST_BYTES:
            contents.left.append(name.item_id)
            continue
        file.write(line)
        contents.lines += 1
    return contents


def _jobs(item_ids: Sequence[int]) -> Iterator[AnalysisJob]:
    for start in range(0, len(item_ids), CHUNK):
        yield from load_jobs(item_ids[start : start + CHUNK])
