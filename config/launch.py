"""The life of one `manage.py up`: check, prepare, start, print the address, supervise, stop."""

import http.client
import os
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import redis
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command, get_commands
from django.db import connections

from apps.accounts.services import DEMO_USERNAME, ensure_demo_user
from config import preflight, programs
from config.embedded import model, paths, postgres, valkey
from config.embedded.program import EmbeddedError, Program
from config.heartbeat import worker_seen
from config.preflight import Refused
from config.secret import kept_secret
from config.supervisor import Crashed, StopRequested, StopSignals, Supervisor
from config.upgrade import alone, migrate

EMBEDDED_SECONDS = 60.0
READY_SECONDS = 60.0


@dataclass(frozen=True)
class Wish:
    """What the command line asks for."""

    bind: str
    port: int
    demo: bool


def up(wish: Wish) -> None:
    """Run Debrief until someone stops it. Raises `Refused` with the reason if it can't run."""
    os.umask(0o077)  # whatever is written from here on, by us or our children, is ours alone
    preflight.check_bind(wish.bind)
    preflight.check_port(wish.bind, wish.port)
    preflight.check_static_files()
    preflight.check_data_dir(settings.DATA_DIR)
    with preflight.only_one(settings.DATA_DIR):
        signals = StopSignals()
        supervisor = Supervisor(settings.DATA_DIR, signals)
        signals.install()
        try:
            _start_all(supervisor, wish)
            supervisor.watch()
        except StopRequested:
            supervisor.say(
                "debrief",
                "stopping… press Ctrl-C again to stop without waiting for requests in progress",
            )
        except (Crashed, EmbeddedError) as error:
            raise Refused(str(error)) from None
        finally:
            supervisor.stop()
        supervisor.say("debrief", "stopped")


def _start_all(supervisor: Supervisor, wish: Wish) -> None:
    _check_services(embedded=False)  # yours first: they may be away, ours take time to start
    supervisor.end_leftovers()
    started = [supervisor.start(program) for program in _embedded(settings.DATA_DIR)]
    for child in started:
        supervisor.wait_until_ready(child, seconds=EMBEDDED_SECONDS)
    _check_services(embedded=True)
    say = partial(supervisor.say, "debrief")
    with alone(say):
        migrate(say)
    if wish.demo:
        _load_demo_once(supervisor, wish)
    connections.close_all()  # from here on the database belongs to the children
    supervisor.start(programs.worker())
    supervisor.start(programs.web(bind=wish.bind, port=wish.port))
    _wait_until_ready(supervisor, wish)
    supervisor.start(programs.scheduler())  # last: two cores start two programs sooner than three
    _tell(supervisor, wish)


def _check_services(*, embedded: bool) -> None:
    if embedded == settings.EMBEDDED_DATABASE:
        preflight.check_database()
    if embedded == settings.EMBEDDED_BROKER:
        preflight.check_broker()


def _embedded(data_dir: Path) -> list[Program]:
    parts = []
    if settings.EMBEDDED_DATABASE:
        parts.append(postgres.program(data_dir))
    if settings.EMBEDDED_BROKER:
        parts.append(valkey.program(data_dir))
    if settings.BUNDLED_MODEL:
        name, context = settings.BUNDLED_MODEL_NAME, settings.BUNDLED_MODEL_CONTEXT
        parts.append(model.program(data_dir, name=name, context=context))
        settings.BUNDLED_MODEL_URL = paths.bundled_model_url(data_dir)
    return parts


def _load_demo_once(supervisor: Supervisor, wish: Wish) -> None:
    """Demo data and its login, into a database that no one has used yet.

    The login is made last: a load that was interrupted is done again at the next start.
    """
    if get_user_model().objects.exists():
        return
    if not _only_from_here(wish):
        supervisor.say(
            "debrief", "no demo: it is for this machine alone, and this one is reachable"
        )
        return
    if "load_demo" in get_commands():
        supervisor.say("debrief", "loading the demo data")
        call_command("load_demo", verbosity=0)
    ensure_demo_user(kept_secret(_demo_password(), length=9))


def _only_from_here(wish: Wish) -> bool:
    """Return whether no other machine is meant to reach the pages, directly or by a proxy."""
    return settings.DEMO_LOGIN and preflight.is_loopback(wish.bind)


def _demo_password() -> Path:
    return Path(settings.DATA_DIR) / "demo_password"


def _wait_until_ready(supervisor: Supervisor, wish: Wish) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not (_worker_is_there() and _pages_answer(wish)):
        supervisor.look_after_all()
        if time.monotonic() > deadline:
            raise Crashed(f"no response from {_address(wish)} after {READY_SECONDS:.0f} seconds")
        time.sleep(0.1)


def _worker_is_there() -> bool:
    try:
        with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2) as client:
            return worker_seen(client)
    except redis.RedisError:
        return False


def _pages_answer(wish: Wish) -> bool:
    host = wish.bind.strip("[]")
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 (compared)
    known = settings.ALLOWED_HOSTS[0].lstrip(".")
    request = http.client.HTTPConnection(reachable, wish.port, timeout=2)
    try:
        request.request("GET", "/readyz", headers={"Host": "localhost" if known == "*" else known})
        return request.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        request.close()


def _address(wish: Wish) -> str:
    host = f"[{wish.bind}]" if ":" in wish.bind.strip("[]") else wish.bind
    return f"http://{host}:{wish.port}/"


def _tell(supervisor: Supervisor, wish: Wish) -> None:
    supervisor.say("debrief", f"ready at {_address(wish)}")
    users = get_user_model().objects
    others = users.exclude(is_demo=True)
    demo = users.filter(username=DEMO_USERNAME, is_demo=True, is_active=True)
    if demo.exists() and _only_from_here(wish) and _demo_password().exists():
        password = kept_secret(_demo_password())
        supervisor.say("debrief", f"log in as {DEMO_USERNAME} with password {password}")
    elif not others.exists():
        supervisor.say(
            "debrief", "no users yet; create one: .venv/bin/python manage.py createsuperuser"
        )
    if settings.BUNDLED_MODEL:
        supervisor.say(
            "debrief",
            "using the bundled demo model; set OPENAI_API_KEY to use a production model",
        )
    supervisor.say("debrief", "press Ctrl-C to stop")
    connections.close_all()
