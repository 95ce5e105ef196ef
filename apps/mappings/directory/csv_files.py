"""Read CSV files as people have them: their encoding, delimiter, and header."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from apps.core.errors import Example, UserError
from apps.core.spreadsheets import safe

MAX_BYTES = 20 * 1024 * 1024
MAX_ROWS = 200_000
MAX_COLUMNS = 200
MAX_CELL = 100_000
"""Characters of one cell."""
_DELIMITERS = (",", ";", "\t", "|")
_SEPARATOR_LINE = re.compile(r"\A\s*\"?sep=(.)\"?[ \t]*(?:\r\n|\r|\n)", re.IGNORECASE)
"""How Excel notes the delimiter in a line before the header."""
_BOM = "\ufeff"
_GUARDED = tuple("=+-@\t\r")


class UnreadableFile(UserError):
    """Raised for a file that isn't a CSV file with a header and rows."""

    code = "unreadable_csv"
    example = Example("The file has no rows.")


@dataclass(frozen=True, slots=True)
class CsvText:
    """A file that was read: its text, and the delimiter of its cells."""

    text: str
    delimiter: str
    header: tuple[str, ...]
    rows: int


def read_file(data: bytes) -> CsvText:
    """Read an uploaded file. Raise UnreadableFile with the reason."""
    if len(data) > MAX_BYTES:
        size = len(data) / 1024 / 1024
        raise UnreadableFile(f"The file has {size:.1f} MB. The maximum is 20 MB. Split it.")
    text = _SEPARATOR_LINE.sub("", _decoded(data))
    delimiter = _delimiter_of(text)
    try:
        lines = cells(text, delimiter)
        header = next(lines, (0, []))[1]
        rows = sum(1 for _ in lines)
    except csv.Error as error:
        raise UnreadableFile(f"The file isn’t valid CSV: {error}.") from None
    header = [name.strip() for name in header]
    if not any(header):
        raise UnreadableFile("The file is empty. The first line must name the columns.")
    if len(header) > MAX_COLUMNS:
        raise UnreadableFile(f"The file has {len(header):,} columns. The maximum is 200.")
    if not rows:
        raise UnreadableFile("The file has a header and no rows.")
    if rows > MAX_ROWS:
        raise UnreadableFile(f"The file has {rows:,} rows. The maximum is 200,000. Split it.")
    return CsvText(text, delimiter, tuple(header), rows)


def cells(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each row that holds anything, with its line number in the file. Raise csv.Error."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=False)
    for row in reader:
        if any(cell.strip() for cell in row):
            yield reader.line_num, row


def plain(cell: str) -> str:
    """Return a cell without the apostrophe that an export puts before what looks like a formula."""
    text = cell.strip()
    bare = text.removeprefix("'")
    is_guarded = bare.startswith(_GUARDED) or bare.isdigit() or safe(bare) == text
    return bare if is_guarded else text


def _decoded(data: bytes) -> str:
    """Decode UTF-8 with or without a byte order mark, else Windows-1252 as old programs write."""
    if b"\x00" in data:
        raise UnreadableFile("The file isn’t a CSV file. Save the sheet as CSV UTF-8.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace").removeprefix(_BOM)


def _delimiter_of(text: str) -> str:
    """Return the delimiter that makes the most cells of the header."""
    head = text[:MAX_CELL]

    def columns(delimiter: str) -> int:
        try:
            row: Sequence[str] = next(cells(head, delimiter), (0, []))[1]
        except csv.Error:
            return 0
        return len(row)

    return max(_DELIMITERS, key=columns)
