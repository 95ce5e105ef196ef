"""Lines of request bodies, whatever the server's own idea of a line is."""

import gzip
import io
from pathlib import Path

import pytest

from apps.intake import files
from apps.intake.parser import read_line


@pytest.mark.parametrize("chunk", [1, 3, 1024])
@pytest.mark.parametrize(
    ("body", "lines"),
    [
        (b"", []),
        (b"one", [b"one"]),
        (b"one\n", [b"one"]),
        (b"one\n\nthree\r\nlast", [b"one", b"", b"three\r", b"last"]),
    ],
)
def test_lines_of_a_body(
    monkeypatch: pytest.MonkeyPatch, chunk: int, body: bytes, lines: list[bytes]
) -> None:
    monkeypatch.setattr(files, "_CHUNK", chunk)
    assert list(files.split_lines(io.BytesIO(body).read)) == lines


LINE = b'{"channel": "voice", "messages": []}'


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (LINE.decode().encode("utf-16"), "UTF-16"),
        (LINE.decode().encode("utf-16-le"), "UTF-16"),
        (LINE.decode().encode("utf-32-be"), "UTF-32"),
        (b"[\n" + LINE + b",\n" + LINE + b"\n]", "JSON array"),
        (b"[" + LINE + b"," + LINE + b"]", "JSON array"),
        (b'{\n  "channel": "voice",\n  "messages": []\n}\n', "JSON over several lines"),
        (b'{"channel": "voice",\n "messages": []}', "JSON over several lines"),
        (LINE + b"\r" + LINE + b"\r", "CR alone"),
        (gzip.compress(LINE, mtime=0), "gzip"),
        (b"PK\x03\x04...", "Excel"),
        (b"id,channel\n1,voice\n2,voice\n", "CSV"),
        (b"\xd0\xcf\x11\xe0...", "old Excel"),
        (b"7z\xbc\xaf...", "7-Zip"),
        ((LINE + b",\n") * 3, "comma"),
        (b"<!doctype html>\n<title>Sign in</title>", "HTML"),
        (b'--x\r\nContent-Disposition: form-data; name="f"\r\n\r\n' + LINE, "form"),
    ],
)
class TestTheFormOfAFile:
    def test_is_named_in_one_sentence(self, body: bytes, words: str) -> None:
        with pytest.raises(files.UnreadableFileError, match=words) as caught:
            files.json_lines(io.BytesIO(body).read)
        assert caught.value.message.count(".") == 1

    def test_also_of_a_file_on_disk(self, tmp_path: Path, body: bytes, words: str) -> None:
        path = tmp_path / "lines.jsonl"
        path.write_bytes(body)
        if words == "gzip":  # a file is unpacked
            assert list(files.read_lines(str(path), progress=files.FileProgress())) == [LINE]
            return
        with pytest.raises(files.UnreadableFileError, match=words):
            list(files.read_lines(str(path), progress=files.FileProgress()))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        LINE,
        b"\xef\xbb\xbf\xef\xbb\xbf" + LINE,  # a byte order mark, twice
        b"\n\n" + LINE + b"\r\n" + LINE + b"\r\n",
        b"{\n" + LINE,  # one broken line spoils no other
        b"[]\n" + LINE,
        b"nonsense, at first\n" + LINE,
    ],
)
@pytest.mark.parametrize("chunk", [1, 1024])
def test_json_lines_are_read_as_they_are(
    monkeypatch: pytest.MonkeyPatch, body: bytes, chunk: int
) -> None:
    monkeypatch.setattr(files, "_CHUNK", chunk)
    read = files.json_lines(io.BytesIO(body).read)
    lines = list(files.split_lines(read))
    assert b"\n".join(lines) == body.removesuffix(b"\n")
    if lines:
        assert read_line(lines[-1], source="x").channel == "voice"
