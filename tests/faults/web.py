"""A web process of a test, and clients that misbehave towards it."""

import http.client
import json
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import psutil
from django.test import Client

from apps.accounts.models import Role, User

from .harness import Workers, no_drum, wait_until


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body as the value that it is."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Web:
    """A web process that answers."""

    port: int
    pid: int

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send one request; a body that is no bytes goes out in chunks, without a length."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with closing(connection):
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return Reply(answer.status, dict(answer.headers), answer.read())

    def open(self, *lines: str, body: bytes = b"") -> socket.socket:
        """Open a connection and send the head of a request, and no more of it than `body`."""
        client = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        client.sendall("".join(f"{line}\r\n" for line in lines).encode() + body)
        return client

    def memory(self) -> int:
        """Return the resident bytes of the process and its worker."""
        whole = psutil.Process(self.pid)
        return sum(p.memory_info().rss for p in [whole, *whole.children(recursive=True)])


@contextmanager
def crowd(web: Web, how_many: int, *lines: str, body: bytes = b"") -> Iterator[list[socket.socket]]:
    """Open this many connections at once that all say the same and stay open."""
    clients: list[socket.socket] = []
    try:
        clients.extend(web.open(*lines, body=body) for _ in range(how_many))
        yield clients
    finally:
        for client in clients:
            client.close()


def cookie_of(role: Role) -> str:
    """Sign a new member in; return the value of the header `Cookie`."""
    client = Client()
    client.force_login(User.objects.create_user(f"ada-{role}", role=role))
    return f"sessionid={client.cookies['sessionid'].value}"


def start_web(workers: Workers) -> Web:
    """Start a web process and wait until it answers."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    web = Web(port, workers.start_web(port).pid)

    def answers() -> bool:
        """the web process answers"""
        try:
            return web.ask("GET", "/healthz").status == 200
        except OSError:
            return False

    wait_until(answers, drum=no_drum)
    return web
