"""Files and batches of a provider that has OpenAI's Batch API."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import BinaryIO, Self

import httpx2
import openai
from openai.types import Batch

from apps.llm.classification import classify, fault_of
from apps.llm.connections import MissingKeyError, NotRunningError, endpoint
from apps.llm.errors import ErrorCode, PauseReason
from apps.llm.failed_request import Fault
from apps.llm.key_masks import mask_keys
from apps.llm.specs import ModelSpec
from apps.llm.text import shorten
from apps.llm.transport import trusted

MOST_REQUESTS = 50_000
MOST_BYTES = 200_000_000
"""What a file may hold, as the provider documents it."""

SECONDS = 60.0
"""The time-out of a request, and of each read of a download."""

LONGEST_LINE = 8 * 1024 * 1024
"""A longer line of a result is not read: no response is that long."""

_NAME = "debrief"
_MESSAGE_LENGTH = 1_000
_LOOKED_AT = 500
"""Batches or files, newest first, among which one of an interrupted step is looked for."""

ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
QUEUE_FULL = "token_limit_exceeded"


class BatchFault(Exception):
    """Raised where the provider rejects or fails a request; ``fault`` says why."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault

    @property
    def is_unknown(self) -> bool:
        """Return whether the thing that was asked about isn't there."""
        return self.fault.status == 404

    @property
    def is_unsupported(self) -> bool:
        """Return whether the provider has no Batch API, where none of its objects was named."""
        return self.fault.status in {404, 405, 501}


@dataclass(frozen=True, slots=True)
class BatchReport:
    """How far a batch of the provider is. Counts are None where it reports none."""

    id: str
    status: str
    output_file: str = ""
    error_file: str = ""
    completed: int | None = None
    failed: int | None = None
    error_code: str = ""
    error_message: str = ""

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED


class BatchApi:
    """The Batch API of the server of one model. Close it after use."""

    def __init__(
        self, spec: ModelSpec, *, seconds: float = SECONDS, upload_seconds: float = 600.0
    ) -> None:
        """Raise BatchFault where the model's key isn't set."""
        try:
            place = endpoint(spec)
        except (MissingKeyError, NotRunningError) as error:
            raise BatchFault(Fault(ErrorCode.AUTH, str(error), pause=PauseReason.AUTH)) from error
        self._upload_seconds = upload_seconds
        self._client = openai.OpenAI(
            base_url=place.base_url,
            api_key=place.key,
            max_retries=0,
            timeout=seconds,
            http_client=httpx2.Client(verify=trusted(), timeout=seconds, follow_redirects=False),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._client.close()

    def is_there(self) -> bool:
        """Return whether the provider has a Batch API. Raises BatchFault where that isn't clear."""
        try:
            with _faults():
                self._client.batches.list(limit=1)
        except BatchFault as error:
            if not error.is_unsupported:
                raise
            return False
        return True

    def upload(self, name: str, content: BinaryIO) -> str:
        """Upload a file of requests and return its ID. Files of the same name are deleted first.

        One that is there is of an upload whose confirmation was lost.
        """
        full = f"{_NAME}-{name}.jsonl"
        with _faults():
            listed = self._client.files.list(purpose="batch", limit=100, order="desc")
            for known in list(islice(listed, _LOOKED_AT)):
                if known.filename == full:
                    self._client.files.delete(known.id)
            content.seek(0)
            made = self._client.files.create(
                file=(full, content), purpose="batch", timeout=self._upload_seconds
            )
        return made.id

    def create(self, name: str, file_id: str) -> BatchReport:
        """Start a batch of an uploaded file; the one of this name where there is one already."""
        with _faults():
            for known in islice(self._client.batches.list(limit=100), _LOOKED_AT):
                if (known.metadata or {}).get(_NAME) == name:
                    return _report(known)
            made = self._client.batches.create(
                input_file_id=file_id,
                endpoint="/v1/chat/completions",
                completion_window="24h",
                metadata={_NAME: name},
            )
        return _report(made)

    def get(self, batch_id: str) -> BatchReport:
        """Return how far a batch is."""
        with _faults():
            return _report(self._client.batches.retrieve(batch_id))

    def cancel(self, batch_id: str) -> BatchReport:
        """Ask for the end of a batch. It still has to be waited for."""
        with _faults():
            return _report(self._client.batches.cancel(batch_id))

    def lines(self, file_id: str) -> Iterator[bytes]:
        """Yield the lines of a file as they arrive. A line that is far too long is left out."""
        with _faults(), self._client.files.with_streaming_response.content(file_id) as response:
            rest, is_skipping = bytearray(), False
            for chunk in response.iter_bytes(65_536):
                rest += chunk
                *lines, tail = bytes(rest).split(b"\n") if b"\n" in chunk else (rest,)
                for line in lines:
                    if line and not is_skipping:
                        yield bytes(line)
                    is_skipping = False
                rest = bytearray(tail)
                if len(rest) > LONGEST_LINE:
                    rest, is_skipping = bytearray(), True
            if rest and not is_skipping:
                yield bytes(rest)

    def delete_file(self, file_id: str) -> None:
        """Delete a file. One that is gone is deleted."""
        try:
            with _faults():
                self._client.files.delete(file_id)
        except BatchFault as error:
            if not error.is_unknown:
                raise


@contextmanager
def _faults() -> Iterator[None]:
    """Raise BatchFault for what the library raises."""
    try:
        yield
    except openai.APIStatusError as error:
        response = error.response
        fault = fault_of(response.status_code, response.content, response.headers)
        raise BatchFault(fault) from error
    except openai.APIError as error:
        raise BatchFault(classify(error)) from error
    except httpx2.HTTPError as error:  # in the middle of a download
        reason = mask_keys(shorten(str(error) or type(error).__name__, _MESSAGE_LENGTH))
        message = f"Couldn't read the provider's file: {reason}."
        raise BatchFault(Fault(ErrorCode.CONNECTION, message, transient=True)) from error


def _report(batch: Batch) -> BatchReport:
    counts = batch.request_counts
    errors = (batch.errors.data or []) if batch.errors else []
    first = errors[0] if errors else None
    message = mask_keys(shorten((first and first.message) or "", _MESSAGE_LENGTH))
    return BatchReport(
        batch.id,
        str(batch.status),
        batch.output_file_id or "",
        batch.error_file_id or "",
        counts.completed if counts else None,
        counts.failed if counts else None,
        (first and first.code) or "",
        message,
    )
