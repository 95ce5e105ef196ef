"""The modules that a reader opens to follow one path through the code: a table in the docs.

Each path is taken for real, by a request and the worker's part after it, while a profiler notes in
which modules of the apps a function ran. The table in docs/architecture.md names all of them.
"""

import inspect
import re
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest
from django.db import connection
from django.test import Client

from apps.accounts.actors import Actor
from apps.accounts.keys import create_api_key
from apps.accounts.models import Role, User
from apps.agents.models import Agent
from apps.analysis.models import Analysis
from apps.llm.specs import Priority
from apps.runs.models import RunItem
from apps.runs.test_runs.queue import TrialQueue
from tests.factories import make_agent, make_conversation, make_model
from tests.fakes.fixtures import FakeLLM
from tests.runners import run_queue, run_source

pytestmark = [pytest.mark.django_db(transaction=True)]

ROOT = Path(__file__).parents[1]
APPS = f"{ROOT}/apps/"
HTMX = {"HX-Request": "true"}
#: What every page and request runs through, and what the model's client does behind its one
#: method: nobody opens these to follow a path.
NOT_COUNTED = re.compile(
    r"(core|accounts)/|api/middleware|llm/(?!client)|.*/(templatetags|apps|__init__)\b"
)


@contextmanager
def modules_that_run() -> Iterator[set[str]]:
    """Collect the modules of the apps in which a function is called, in any thread."""
    files: set[str] = set()
    modules: set[str] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        # Bodies of modules and classes run when something is imported first: they don't count.
        if event == "call" and frame.f_code.co_flags & inspect.CO_OPTIMIZED:
            files.add(frame.f_code.co_filename)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield modules
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
        inside = (file for file in files if file.startswith(APPS))
        names = (file.removeprefix(APPS).removesuffix(".py") for file in inside)
        modules.update(name for name in names if not NOT_COUNTED.match(name))


def post_a_conversation(agent: Agent, client: Client) -> None:
    _, key = create_api_key(name="key", role=Role.OPERATOR, by=Actor.system("tests"))
    messages = [{"role": "agent", "content": "Hello"}, {"role": "user", "content": "My bill?"}]
    body = {"agent_id": agent.public_id, "channel": "voice", "messages": messages}
    sent = {"content_type": "application/json", "headers": {"Authorization": f"Bearer {key}"}}
    client.post("/api/conversations", body, **sent)  # type: ignore[arg-type]
    run_queue(Priority.LIVE)


def rerun(agent: Agent, client: Client) -> None:
    conversation = agent.conversations.get()
    client.post(f"/conversations/{conversation.public_id}/rerun/", headers=HTMX)
    run_queue(Priority.INTERACTIVE)


def backfill(agent: Agent, client: Client) -> None:
    form = {"channel": "voice"}
    page = client.post("/backfills/preview/", form, headers=HTMX).content.decode()
    client.post("/backfills/new/", {**form, "token": token_in(page)}, headers=HTMX)
    run_queue(Priority.BACKFILL)


def run_a_test(agent: Agent, client: Client) -> None:
    agent_id = agent.public_id
    form = {"channel": "voice", "of": agent_id, "agent": agent_id, "how_many": "1"}
    page = client.post("/trials/preview/", form, headers=HTMX).content.decode()
    client.post(f"/agents/{agent_id}/try/", {**form, "token": token_in(page)})
    run_source(TrialQueue())


def token_in(page: str) -> str:
    found = re.search(r'name="token" value="([^"]+)"', page)
    assert found
    return found[1]


PATHS: dict[str, tuple[int, Callable[[Agent, Client], None]]] = {
    "`POST /api/conversations` to a recorded analysis": (0, post_a_conversation),
    "**Rerun analysis** to a recorded analysis": (1, rerun),
    "Backfill, from its preview to its end": (1, backfill),
    "Test run of a draft": (1, run_a_test),
}


def row(path: str, modules: set[str]) -> str:
    """Return the row of the table for a path."""
    by_app: dict[str, list[str]] = defaultdict(list)
    for module in sorted(modules):
        app, _, name = module.partition("/")
        by_app[app].append(name)
    cells = [f"{app}: {', '.join(names)}" for app, names in by_app.items()]
    return f"| {path} | {len(modules)} | {' · '.join(cells)} |"


def named_in_the_docs(path: str) -> set[str]:
    """Return the modules that the table names for a path."""
    text = (ROOT / "docs/architecture.md").read_text()
    found = re.search(rf"^\| {re.escape(path)} \| (\d+) \| (.*) \|$", text, re.MULTILINE)
    if found is None:
        return set()
    apps = [cell.split(": ") for cell in found[2].split(" · ")]
    named = {f"{app}/{name}" for app, names in apps for name in names.split(", ")}
    assert len(named) == int(found[1])
    return named


@pytest.mark.parametrize("path", PATHS)
def test_the_docs_name_the_modules_of_a_path(
    path: str, fake_llm: FakeLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_API_KEY", "fake")
    conversations, walk = PATHS[path]
    agent = make_agent(model=make_model(base_url=fake_llm.url, api_key_env="FAKE_API_KEY"))
    if conversations:
        make_conversation(agent)
    client = Client()
    client.force_login(User.objects.create_user("ada", role=Role.EDITOR))
    client.get("/calls/")  # what is set up once in a process is not part of the path

    with modules_that_run() as modules:
        walk(agent, client)

    analyses = Analysis.objects.filter(state="succeeded").count()
    outputs = RunItem.objects.filter(state="done", analysis=None).count()
    assert analyses + outputs == 1
    named = named_in_the_docs(path)
    # What another test ran before may be cached now: less may run than is named.
    assert modules <= named, row(path, modules | named)
    assert not [name for name in named if not Path(f"{APPS}{name}.py").exists()]
    connection.close()
