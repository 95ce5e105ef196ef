"""Files of conversations: JSON Lines, plain, gzipped or from standard input."""

import gzip
import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, cast

from apps.core.errors import UserError

MAX_LINE = 256 * 1024 * 1024
"""A longer line is no conversation; reading it would take the memory of everything else."""


_CHUNK = 1024 * 1024


class UnreadableFileError(UserError):
    code = "unreadable_file"


def read_lines(name: str, *, progress: "Progress") -> Iterator[bytes]:
    """The lines of a file, ``-`` for standard input. Raises UnreadableFileError."""
    try:
        with _opened(name) as raw:
            progress.size = _size(raw)
            stream = cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if _is_gzip(raw) else raw
            for line in iter(lambda: stream.readline(MAX_LINE), b""):
                progress.done = raw.tell() if raw.seekable() else progress.done + len(line)
                yield line
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableFileError(f"{name} cannot be read: {reason}.") from error


def split_lines(read: Callable[[int], bytes]) -> Iterator[bytes]:
    """The lines of a request's body, by ``read`` alone.

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


class Progress:
    """How far a file has been read, in bytes as they lie on disk."""

    def __init__(self) -> None:
        self.size = 0
        self.done = 0

    @property
    def share(self) -> float:
        return min(1.0, self.done / self.size) if self.size else 0.0


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
