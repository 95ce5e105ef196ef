"""Checks before anything is started. Each error is one message with a fix."""

import contextlib
import fcntl
import ipaddress
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import redis
from django.conf import settings
from django.db import DatabaseError, connection

FREE_BYTES = 500 * 1024 * 1024
POSTGRES = 15
REDIS = 7


class Refused(Exception):
    """Debrief cannot start here; the message is for people."""


def check_bind(bind: str) -> None:
    """Beyond loopback, key and hosts must have been chosen by a person (README, Configuration)."""
    if is_loopback(bind):
        return
    missing = [name for name in ("SECRET_KEY", "ALLOWED_HOSTS") if not os.environ.get(name)]
    if missing:
        raise Refused(f"--bind {bind} exposes Debrief to the network: set {' and '.join(missing)}")


def is_loopback(bind: str) -> bool:
    """True for an address or a name that only this machine can reach."""
    try:
        return ipaddress.ip_address(bind.strip("[]")).is_loopback
    except ValueError:
        return bind == "localhost"


def check_port(bind: str, port: int) -> None:
    """Reject a port that someone listens on, or that we may not open."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            bind.strip("[]"), port, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind, protocol) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except PermissionError:
        raise Refused(f"port {port} requires root; use one above 1023, e.g. PORT=8000") from None
    except socket.gaierror:
        raise Refused(f"--bind {bind} is not an address of this machine.") from None
    except OverflowError:
        raise Refused(f"port {port} is not a port: choose one from 1 to 65535.") from None
    except OSError as error:
        raise Refused(
            f"can't listen on {bind}:{port} ({error.strerror}); "
            f"try make run PORT={port + 1 if port < 65535 else 8000}"
        ) from None


def check_data_dir(data_dir: Path) -> None:
    """Reject a DATA_DIR that cannot be written or is nearly full, and close it to other users."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        _close_to_others(data_dir)
        with tempfile.TemporaryFile(dir=data_dir) as file:
            file.write(b"x")
            file.flush()
        free = shutil.disk_usage(data_dir).free
    except OSError as error:
        raise Refused(
            f"DATA_DIR {data_dir} cannot be written ({error.strerror}): "
            "name a writable folder in DATA_DIR."
        ) from None
    if free < FREE_BYTES:
        raise Refused(
            f"DATA_DIR {data_dir} has {free // 1024**2} MB free but needs "
            f"{FREE_BYTES // 1024**2} MB: free up space or set DATA_DIR to another directory"
        )


def _close_to_others(data_dir: Path) -> None:
    """Leave others no look into our folder. One that is shared on purpose stays as it is."""
    found = data_dir.stat()
    shared = found.st_mode & stat.S_ISVTX or found.st_uid != os.geteuid()
    if not shared:
        data_dir.chmod(stat.S_IMODE(found.st_mode) & ~(stat.S_IRWXO | stat.S_IRWXG))


@contextlib.contextmanager
def only_one(data_dir: Path) -> Iterator[None]:
    """Hold DATA_DIR for ourselves. The lock goes with the process, however that ends."""
    with (data_dir / "up.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            raise Refused(
                f"Debrief is already running on DATA_DIR {data_dir} "
                f"(process {lock.read().strip()}): stop it or set another DATA_DIR"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def check_static_files() -> None:
    """Reject a start without the static files that `make setup` collects."""
    if not settings.DEBUG and not (settings.STATIC_ROOT / "staticfiles.json").exists():
        raise Refused("the static files are not collected: run `make setup`.")


def check_database() -> None:
    """Reject a database that does not respond or is too old."""
    try:
        connection.ensure_connection()
    except DatabaseError as error:
        raise Refused(f"can't connect to the database: {first_line(error)}") from None
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('server_version_num')::int / 10000")
        found = int(cursor.fetchone()[0])
    if found < POSTGRES:
        raise Refused(f"the database is PostgreSQL {found}; Debrief needs {POSTGRES} or newer.")


def check_broker() -> None:
    """Reject a broker that does not respond or is too old."""
    try:
        with redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=5) as client:
            found = str(client.info("server")["redis_version"])
    except redis.RedisError as error:
        raise Refused(f"can't connect to the broker at REDIS_URL: {first_line(error)}") from None
    if int(found.split(".", maxsplit=1)[0]) < REDIS:
        raise Refused(f"the broker speaks Redis {found}; Debrief needs {REDIS} or newer.")


def first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
