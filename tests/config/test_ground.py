"""What the whole project stands on: real parts, honest lock files, settings that fail clearly."""

import json
import logging
import os
import re
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings
from django.core.cache import cache
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.test import Client
from pytest_socket import SocketConnectBlockedError

from config import heartbeat
from config.embedded import paths
from config.embedded.postgres import tuning
from config.logs import JsonFormatter
from config.preflight import is_loopback
from config.secret import kept_secret

ROOT = settings.BASE_DIR
# Put together here, so that this file does not name them either.
REGISTRIES = [
    ".".join(parts)
    for parts in [
        ("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("npmjs", "com"),
        ("unpkg", "com"), ("jsdelivr", "net"), ("cdnjs", "cloudflare"), ("esm", "sh"),
        ("conda", "anaconda"), ("proxy", "golang"), ("crates", "io"), ("rubygems", "org"),
    ]
]  # fmt: skip


def tracked_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git work tree: there is no list of tracked files")
    return [ROOT / name for name in listed.stdout.split("\0") if name]


@pytest.mark.django_db
def test_database_sorts_and_folds_unicode() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT lower('ÄÉ'), current_setting('server_version_num')::int >= 150000")
        assert cursor.fetchone() == ("äé", True)


def test_cache_is_a_redis_protocol_server() -> None:
    cache.set("ground", 1, timeout=5)
    assert cache.get("ground") == 1


def test_no_test_reaches_the_network() -> None:
    import socket

    with socket.socket() as outside, pytest.raises((SocketConnectBlockedError, UserWarning)):
        outside.connect(("192.0.2.1", 80))


def test_no_tracked_file_names_a_registry() -> None:
    found = [
        (path.relative_to(ROOT), name)
        for path in tracked_files()
        if path.is_file()
        for name in REGISTRIES
        if name in path.read_text(errors="ignore")
    ]
    assert not found


def test_lock_files_hold_hashes_and_no_index() -> None:
    for name in ("requirements.lock", "requirements-dev.lock", "requirements-model.lock"):
        text = (ROOT / name).read_text()
        assert "://" not in text
        assert "--index-url" not in text
        for block in re.split(r"\n(?=\S)", text):
            if "==" in block:
                assert "--hash=sha256:" in block, block


def test_every_dependency_is_explained_locked_and_in_order() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    project = tomllib.loads(text)
    groups = project["dependency-groups"]
    for wanted, lock in [
        (project["project"]["dependencies"], "requirements.lock"),
        (groups["dev"], "requirements-dev.lock"),
        (groups["model"], "requirements-model.lock"),
    ]:
        names = [re.split(r"[\[<>=]", line)[0].lower() for line in wanted]
        assert names == sorted(names)
        locked = (ROOT / lock).read_text()
        for line, name in zip(wanted, names, strict=True):
            assert re.search(rf'^    "{re.escape(line)}",  # \w.{{8,}}$', text, re.MULTILINE), line
            assert re.search(rf"^{re.escape(name)}==", locked, re.MULTILINE), f"make lock: {name}"


def test_healthz_is_public_and_only_read(client: Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.post("/healthz").status_code == 405


@pytest.mark.django_db
def test_readyz_is_public_and_needs_a_worker(client: Client, settings: Any) -> None:
    url = settings.REDIS_URL
    settings.REDIS_URL = f"{url}{'&' if '?' in url else '?'}db=9"  # no other test writes there
    parts = {"database": True, "broker": True, "disk": True}
    with redis.Redis.from_url(settings.REDIS_URL) as broker:
        broker.delete(heartbeat.KEY)
        missing = client.get("/readyz")
        assert missing.status_code == 503
        assert missing.json() == {"status": "not ready", "worker": False, **parts}

        broker.set(heartbeat.KEY, "a worker", ex=10)
        ready = client.get("/readyz")
        broker.delete(heartbeat.KEY)
    assert ready.status_code == 200
    assert ready.json() == {"status": "ready", "worker": True, **parts}


@pytest.mark.django_db
def test_readyz_names_a_missing_broker(client: Client, settings: Any) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1"
    missing = client.get("/readyz")
    assert missing.status_code == 503
    assert missing.json()["broker"] is False
    assert missing.json()["worker"] is False
    assert missing.json()["database"] is True


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({}, "31536000 False False"),
        ({"HSTS_INCLUDE_SUBDOMAINS": "on", "HSTS_PRELOAD": "on"}, "31536000 True True"),
        ({"PLAIN_HTTP": "on"}, "0 False False"),
    ],
)
def test_hsts_is_for_this_host_unless_told(env: dict[str, str], said: str, tmp_path: Path) -> None:
    names = ("SECONDS", "INCLUDE_SUBDOMAINS", "PRELOAD")
    shown = ", ".join(f"s.SECURE_HSTS_{name}" for name in names)
    done = subprocess.run(
        [sys.executable, "-c", f"from config import settings as s; print({shown})"],
        cwd=ROOT,
        env=os.environ | {"ALLOWED_HOSTS": "debrief.example.com", "DATA_DIR": str(tmp_path)} | env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == said


def test_policy_allows_nothing_from_elsewhere_and_nothing_inline(client: Client) -> None:
    policy = client.get("/healthz").headers["Content-Security-Policy"]
    for directive in ("script-src", "style-src", "default-src"):
        assert f"{directive} 'self'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"ALLOWED_HOSTS": "debrief.example.com", "SECRET_KEY": ""}, "SECRET_KEY must be set"),
        ({"DATABASE_URL": "mysql://root@127.0.0.1/x"}, "DATABASE_URL must name a PostgreSQL"),
        ({"REDIS_URL": "amqp://127.0.0.1"}, "REDIS_URL must be redis://"),
        ({"LOG_FORMAT": "xml"}, "LOG_FORMAT must be json or text, not 'xml'"),
        ({"ANALYSIS_CONCURRENCY": "many"}, "ANALYSIS_CONCURRENCY"),
        ({"TIME_ZONE": "Mars/Olympus"}, "TIME_ZONE"),
        ({"WEB_THREADS": "0"}, "WEB_THREADS must be a whole number above zero"),
        ({"TRUSTED_PROXIES": "10.0.0.1,proxy.internal"}, "not 'proxy.internal'"),
    ],
)
def test_a_wrong_environment_is_one_line(env: dict[str, str], said: str) -> None:
    plain = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env=plain | env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_a_command_without_a_database_is_one_line() -> None:
    plain = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run(
        [sys.executable, "manage.py", "showmigrations"],
        cwd=ROOT,
        env=plain | {"DATABASE_URL": "postgres://own@127.0.0.1:1/debrief"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("debrief: can't connect to the database; is `make run` running?")
    assert len(done.stderr.splitlines()) == 1


def test_a_secret_is_made_once_and_kept_private(tmp_path: Path) -> None:
    path = tmp_path / "new" / "key"
    first = kept_secret(path)
    assert kept_secret(path) == first
    assert len(first) > 50
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["key"]


def test_a_secret_that_cannot_be_kept_says_where(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ImproperlyConfigured, match=r"DATA_DIR .*file cannot be written"):
        kept_secret(tmp_path / "file" / "key")


def test_sockets_stay_in_data_dir_unless_the_path_is_too_long() -> None:
    assert paths.run_dir(Path("/srv/debrief/.data")) == Path("/srv/debrief/.data/run")
    long = paths.run_dir(Path("/srv") / ("x" * 90))
    assert len(str(long / ".s.PGSQL.5432.lock")) < 100
    assert long != paths.run_dir(Path("/srv") / ("y" * 90))


@pytest.mark.parametrize(
    ("gigabytes", "buffers"), [(0.5, "128MB"), (2, "256MB"), (4, "512MB"), (64, "1024MB")]
)
def test_postgres_takes_a_share_of_the_memory(gigabytes: float, buffers: str) -> None:
    assert tuning(int(gigabytes * 1024**3))["shared_buffers"] == buffers


@pytest.mark.parametrize(
    ("bind", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("[::1]", True), ("localhost", True), ("0.0.0.0", False),
     ("::", False), ("10.1.2.3", False), ("debrief.example.com", False)],
)  # fmt: skip
def test_what_only_this_machine_can_reach(bind: str, loopback: bool) -> None:
    assert is_loopback(bind) is loopback


def test_json_log_lines_carry_extras_and_tracebacks() -> None:
    try:
        raise ValueError("größer")
    except ValueError:
        record = logging.makeLogRecord(
            {"msg": "went %s", "args": ("wrong",), "levelname": "ERROR", "name": "apps.x"}
            | {"exc_info": sys.exc_info(), "conversation": "conv_1"}
        )
    line = json.loads(JsonFormatter().format(record))
    assert (line["message"], line["level"], line["conversation"]) == (
        "went wrong",
        "error",
        "conv_1",
    )
    assert "ValueError: größer" in line["traceback"]
