"""Lines of request bodies, whatever the server's own idea of a line is."""

import io

import pytest

from apps.intake import files


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
