"""A small SMTP server: it keeps the mails that came, and may take its time to acknowledge them."""

import email
import socketserver
import threading
import time
from email.message import Message


class _Session(socketserver.StreamRequestHandler):
    """One connection: as much of RFC 5321 as a client that sends mails needs."""

    server: "_Server"

    def handle(self) -> None:
        self._reply("220 ready")
        while line := self.rfile.readline():
            word = line[:4].upper().strip()
            if word == b"DATA":
                self._reply("354 go ahead")
                self.server.receive(self._data())
                time.sleep(self.server.delay)
            self._reply("221 bye" if word == b"QUIT" else "250 ok")
            if word == b"QUIT":
                return

    def _data(self) -> bytes:
        lines = []
        while (line := self.rfile.readline()) not in {b".\r\n", b""}:
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        return b"".join(lines)

    def _reply(self, text: str) -> None:
        try:
            self.wfile.write(f"{text}\r\n".encode())
        except OSError:
            self.server.unacknowledged += 1  # the client is gone


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, delay: float) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.delay = delay
        self.mails: list[Message] = []
        self.unacknowledged = 0

    def receive(self, data: bytes) -> None:
        self.mails.append(email.message_from_bytes(data))


class MailServer:
    """A running server. ``delay``: seconds between a mail and its acknowledgment."""

    def __init__(self, *, delay: float = 0.0) -> None:
        self._server = _Server(delay)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.port = self._server.server_address[1]

    @property
    def mails(self) -> list[Message]:
        """All mails that came, repeated ones too."""
        return list(self._server.mails)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
