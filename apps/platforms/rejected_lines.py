"""Store rejected lines of the API and of files, for inspection and replay.

The REST API's single receiver, its bulk upload and imported files report to the sender why
a line was rejected; here the line itself is stored too, next to the payloads of platforms. Storage
is bounded, per row and per receiver: a program that sends nonsense all night fills no disk.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from django.db import transaction

from apps.accounts.actors import Actor
from apps.agents.models import Agent
from apps.conversations.inputs import ConversationInput
from apps.conversations.models import API_SOURCE
from apps.core.errors import UserError
from apps.core.json_text import parse_json
from apps.intake.services import ERASED, RawLine, RejectedLine
from apps.llm.text import sanitise

from .models import IntakePayload, PayloadState, UploadChannel

MAX_BYTES = 64 * 1024
"""Of a longer line only the beginning is stored."""
PER_UPLOAD = 1_000
"""Rejected lines stored of one upload or file: as many as its report has (services.MAX_ERRORS)."""
PER_RECEIVER = 5_000
"""Rejected lines stored of a receiver; the oldest are deleted."""
_GROUP = 200


class LineStore:
    """Collects the rejected lines of one upload: pass it as ``on_refused``, then ``flush``.

    ``source`` is what lines are read for that name none, ``default_agent`` the agent of lines
    that name none; a replay reads them alike.
    """

    def __init__(
        self,
        upload_channel: UploadChannel,
        *,
        by: Actor,
        source: str,
        default_agent: Agent | None = None,
    ) -> None:
        self.upload_channel = upload_channel
        self.by = by
        self.source = source
        self.default_agent = default_agent
        self._rows: list[IntakePayload] = []
        self._kept = 0

    def __call__(self, refusal: RejectedLine, line: RawLine) -> None:
        """Take one rejected line; every 200 are written."""
        if self._kept >= PER_UPLOAD:
            return
        self._kept += 1
        self._rows.append(self._row(refusal, as_bytes(line)))
        if len(self._rows) >= _GROUP:
            self.flush()

    def flush(self) -> None:
        """Write the collected lines, and delete the receiver's oldest."""
        if not self._rows:
            return
        rows, self._rows = self._rows, []
        with transaction.atomic():
            IntakePayload.objects.bulk_create(rows)
            stored = IntakePayload.objects.filter(source=None, upload_channel=self.upload_channel)
            newest = stored.order_by("-pk").values_list("pk", flat=True)
            last = newest[PER_RECEIVER : PER_RECEIVER + 1].first()
            if last is not None:
                stored.filter(pk__lte=last).delete()

    def _row(self, refusal: RejectedLine, line: bytes) -> IntakePayload:
        cut = len(line) > MAX_BYTES
        known = _parsed(line)
        body = None if cut else storable(line)
        raw = line[:MAX_BYTES] if body is None else None
        return IntakePayload(
            upload_channel=self.upload_channel,
            line=refusal.line or None,
            source_name=_source_name(known) or self.source[:100],
            default_agent=self.default_agent,
            sent_by=self.by.label,
            external_id=_external_id(known),
            body=body,
            raw=raw,
            size=len(line),
            cut=cut,
            state=PayloadState.REFUSED,
            code=refusal.code[:50],
            reason=sanitise(refusal.message),
        )


@contextmanager
def storing_rejected(
    upload_channel: UploadChannel, *, by: Actor, source: str, default_agent: Agent | None = None
) -> Iterator[LineStore]:
    """Return a LineStore for ``on_refused`` that is flushed at the end, whatever happens."""
    keeper = LineStore(upload_channel, by=by, source=source, default_agent=default_agent)
    try:
        yield keeper
    finally:
        keeper.flush()


def store_rejected_request(body: bytes, error: UserError, *, by: Actor) -> None:
    """Store the body of a request that was rejected, but no line of an erased conversation."""
    if error.code == ERASED:
        return
    with storing_rejected(UploadChannel.API, by=by, source=API_SOURCE) as store:
        store(RejectedLine(0, error.code, error.message), body)


def storable(line: bytes) -> Any:
    """The line as a JSON value that jsonb holds; None where it isn't JSON; it is then stored as
    bytes. So is one that names a key twice: a replay must find both."""
    try:
        value = parse_json(line.decode("utf-8-sig"))
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()  # lone surrogates
    except (ValueError, RecursionError):
        return None
    return None if "\\u0000" in text else value


def as_bytes(line: RawLine) -> bytes:
    """Return a line as received; one that arrived as an object, written out again."""
    if isinstance(line, bytes):
        return line.rstrip(b"\r\n")
    if isinstance(line, str):
        return line.rstrip("\r\n").encode(errors="surrogatepass")
    value = asdict(line) if isinstance(line, ConversationInput) else line
    return json.dumps(value, default=str).encode()


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None


def _external_id(value: Any) -> str:
    if not isinstance(value, Mapping):
        return ""
    for name in ("external_id", "id"):
        found = value.get(name)
        if isinstance(found, str | int) and not isinstance(found, bool) and found != "":
            return sanitise(str(found)).strip()[:300]
    return ""


def _source_name(value: Any) -> str:
    found = value.get("source") if isinstance(value, Mapping) else None
    return sanitise(found).strip()[:100] if isinstance(found, str) else ""
