"""Files of conversations: JSON Lines, plain, gzipped or from standard input, and their agents."""

import gzip
import io
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, cast

from apps.accounts.actors import Actor
from apps.agents.models import Agent, Channel
from apps.agents.services import create_agent
from apps.core.errors import Example, UserError

MAX_LINE = 256 * 1024 * 1024
"""A longer line isn't a conversation; reading it would exhaust memory."""


Read = Callable[[int], bytes]
_CHUNK = 1024 * 1024
_HEAD = 64 * 1024
"""Bytes from which the form of a file is recognized."""
_FORMS = {
    b"\x1f\x8b": "gzip; send it unpacked",
    b"PK\x03\x04": "a ZIP archive or an Excel workbook; save it as JSON Lines",
    b"\x28\xb5\x2f\xfd": "zstd; send it unpacked",
    b"BZh": "bzip2; send it unpacked",
    b"7z\xbc\xaf": "7-Zip; send it unpacked",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook; save it as JSON Lines",
    b"\xfd7zXZ": "xz; send it unpacked",
    b"%PDF": "a PDF",
    b"PAR1": "Parquet; save it as JSON Lines",
    b"SQLite format 3": "an SQLite database",
}


class UnreadableFileError(UserError):
    code = "unreadable_file"
    example = Example(
        "Couldn't read the body: this is a JSON array. Send one JSON object per line instead "
        "(JSON Lines)."
    )


def read_lines(name: str, *, progress: "FileProgress") -> Iterator[bytes]:
    """Yield the lines of a file, ``-`` for standard input. Raises UnreadableFileError."""
    try:
        with _opened(name) as raw:
            progress.size = _size(raw)
            stream = cast("io.BufferedReader", gzip.GzipFile(fileobj=raw) if _is_gzip(raw) else raw)
            if form := form_of(stream.peek(_HEAD)):
                raise UnreadableFileError(f"Couldn't read {name}: {form}")
            for line in iter(lambda: stream.readline(MAX_LINE), b""):
                progress.done = raw.tell() if raw.seekable() else progress.done + len(line)
                yield line
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableFileError(f"Couldn't read {name}: {reason}.") from error


def split_lines(read: Read) -> Iterator[bytes]:
    """Yield the lines of a request's body, by ``read`` alone.

    granian's ``readline`` takes the line end away and then ends the body at the next call, so
    that what iterates over a request sees its first line only.
    """
    parts: list[bytes] = []
    while chunk := read(_CHUNK):
        head, *more = chunk.split(b"\n")
        parts.append(head)
        for piece in more:
            yield b"".join(parts)
            parts = [piece]
    if any(parts):
        yield b"".join(parts)


def json_lines(read: Read) -> Read:
    """Return a ``read`` of the same body. Raises UnreadableFileError for a body that isn't
    JSON Lines: one message, and not one for each of its lines."""
    head = b""
    while len(head) < _HEAD and (chunk := read(_CHUNK)):
        head += chunk
    if form := form_of(head):
        raise UnreadableFileError(f"Couldn't read the body: {form}")
    begun = io.BytesIO(head)
    return lambda size: begun.read(size) or read(size)


def form_of(head: bytes) -> str:
    """Return in a message what a file is that holds no JSON Lines; "" for one that may."""
    for magic, name in _FORMS.items():
        if head.startswith(magic):
            return f"this is {name}."
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in head[:4]:
        return "this is UTF-16 or UTF-32; save it as UTF-8."
    if head.startswith(b"--") and b"Content-Disposition:" in head[:1000]:
        return "this is a form; send the file itself as the body (curl --data-binary @FILE)."
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    first, *more = (line.strip() for line in text.split(b"\n")) if text else (b"",)
    return _form_of_lines(first, [line for line in more if line])


def _form_of_lines(first: bytes, rest: list[bytes]) -> str:
    objects = any(line.startswith(b"{") for line in rest)
    if first.startswith(b"[") and not (objects and first.endswith(b"]")):
        return "this is a JSON array; send one JSON object per line instead (JSON Lines)."
    if b"\r" in first and first.startswith(b"{"):
        return "its lines end with CR alone; end them with LF."
    if first.endswith(b"},") and len(rest) > 1 and all(x.endswith(b"},") for x in rest[:-1]):
        return "its lines end with a comma; end them with LF alone (JSON Lines)."
    is_open = first.startswith(b"{") and first.endswith((b"{", b"[", b","))
    if is_open and not (rest and rest[0].startswith(b"{")):
        return "this is JSON over several lines; send one JSON object per line (JSON Lines)."
    if first.startswith(b"<") and not objects:
        return "this is XML or HTML; send one JSON object per line (JSON Lines)."
    if rest and not objects and not first.startswith(b"{") and re.search(rb"[,;\t]", first):
        return "this looks like CSV; send one JSON object per line (JSON Lines)."
    return ""


class FileProgress:
    """How far a file has been read, in bytes as they lie on disk."""

    def __init__(self) -> None:
        self.size = 0
        self.done = 0

    @property
    def share(self) -> float:
        return min(1.0, self.done / self.size) if self.size else 0.0


class DefaultAgents(Mapping[str, Agent]):
    """Agents for lines that name none, one per channel, created when they are first needed.

    Their names are “Imported calls” and “Imported chats”, with the source where it has a name.
    """

    def __init__(self, source: str, by: Actor) -> None:
        self.source = source
        self.by = by
        self._made: dict[str, Agent] = {}

    def __getitem__(self, channel: str) -> Agent:
        if channel not in self._made:
            if channel not in Channel.values:
                raise KeyError(channel)
            self._made[channel] = self._agent(channel)
        return self._made[channel]

    def __iter__(self) -> Iterator[str]:
        return iter(self._made)

    def __len__(self) -> int:
        return len(self._made)

    def _agent(self, channel: str) -> Agent:
        what = "Imported calls" if channel == Channel.VOICE else "Imported chats"
        name = what if self.source == "import" else f"{what}: {self.source}"
        found = Agent.objects.filter(name=name, channel=channel).order_by("pk").first()
        return found or create_agent(name=name, channel=channel, by=self.by)


def _opened(name: str) -> "IO[bytes]":
    return sys.stdin.buffer if name == "-" else Path(name).open("rb")


def _size(raw: IO[bytes]) -> int:
    if not raw.seekable():
        return 0
    size = raw.seek(0, io.SEEK_END)
    raw.seek(0)
    return size


def _is_gzip(raw: IO[bytes]) -> bool:
    return isinstance(raw, io.BufferedReader) and raw.peek(2)[:2] == b"\x1f\x8b"
