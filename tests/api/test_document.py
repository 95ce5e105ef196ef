"""docs/api.md, played from its first command to its last against a server and a worker.

A block of `sh` is run; the block of `json` behind it is what it answers: the same keys, types and
words, with … for what differs each time. A block may say `expect=STATUS` (200 or 201 unless told),
`retry` (until it is so: the work is done elsewhere) and `NAME=.key` (kept for later commands).
"""

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pytest_django.live_server_helper import LiveServer
from standardwebhooks import Webhook

from apps.accounts.actors import Actor
from apps.accounts.keys import create_api_key
from apps.accounts.models import Role
from tests.factories import make_model
from tests.fakes.fixtures import FakeLLM
from tests.faults.harness import Workers

from . import curl
from .receiver import Receiver

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "api.md"
BLOCK = re.compile(
    r"^```sh *(?P<marks>[^\n]*)\n(?P<script>.*?)^```\n(?P<answer>```json\n.*?^```\n)?",
    re.MULTILINE | re.DOTALL,
)
WAIT_SECONDS = 60

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.xdist_group("document")]


@dataclass(frozen=True)
class Step:
    """One command of the document and what it says of the answer."""

    script: str
    expect: set[int]
    retry: bool
    keep: dict[str, str]
    answer: Any


def steps() -> Iterator[Step]:
    for match in BLOCK.finditer(DOCUMENT.read_text()):
        marks = match["marks"].split()
        said = dict(mark.split("=", 1) for mark in marks if "=" in mark)
        expect = said.pop("expect", "")
        answer = (match["answer"] or "").removeprefix("```json\n").removesuffix("```\n")
        yield Step(
            script=match["script"],
            expect={int(expect)} if expect else {200, 201},
            retry="retry" in marks,
            keep={name: path.removeprefix(".") for name, path in said.items()},
            answer=json.loads(answer) if answer else None,
        )


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[None]:
    """A worker and a scheduler, as `manage.py up` runs them."""
    pool = Workers(
        tmp_path / "workers.log", environment={"WEBHOOK_ALLOW_PRIVATE_ADDRESSES": "true"}
    )
    pool.start()
    pool.start_scheduler()
    yield
    pool.kill_all()


@pytest.fixture
def variables(
    live_server: LiveServer, fake_llm: FakeLLM, receiver: Receiver, settings: Any
) -> dict[str, str]:
    """What the document sets before its first command, on an installation with a model."""
    make_model(name="gpt-test", base_url=fake_llm.url, api_key_env="FAKE_API_KEY")
    settings.DEFAULT_MODEL = "gpt-test"
    settings.WEBHOOK_ALLOW_PRIVATE_ADDRESSES = True
    _, key = create_api_key(name="document", role=Role.ADMIN, by=Actor.system("tests"))
    return {
        "DEBRIEF": live_server.url,
        "AUTH": f"Authorization: Bearer {key}",
        "JSON": "Content-Type: application/json",
        "HOOK": receiver.url,
    }


def test_the_story_is_true(
    variables: dict[str, str], worker: None, receiver: Receiver, tmp_path: Path
) -> None:
    played = list(steps())
    assert len(played) > 20
    for step in played:
        answer = play(step, variables, tmp_path)
        for name, path in step.keep.items():
            variables[name] = answer[path]
    verify(receiver, variables)


def play(step: Step, variables: Mapping[str, str], folder: Path) -> Any:
    """Run a command until its answer is as the document says; raises the last difference."""
    deadline = time.monotonic() + (WAIT_SECONDS if step.retry else 0)
    while True:
        found = curl.run(step.script, variables=variables, folder=folder)
        try:
            assert found.status in step.expect, found
            answer = json.loads(found.body) if found.body else None
            compare(step.answer, answer, step.script)
        except AssertionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return answer


def compare(said: Any, found: Any, at: str) -> None:
    """Whether the answer is what the document says, as far as it says anything."""
    if isinstance(said, dict):
        assert isinstance(found, dict), (at, found)
        for key, value in said.items():
            assert key in found, (at, key, found)
            compare(value, found[key], f"{at}.{key}")
    elif isinstance(said, list):
        assert isinstance(found, list), (at, found)
        assert len(found) >= len(said), (at, found)
        for index, value in enumerate(said):
            compare(value, found[index], f"{at}[{index}]")
    elif isinstance(said, str):
        pattern = ".+".join(re.escape(part) for part in said.split("…"))
        assert isinstance(found, str), (at, found)
        assert re.fullmatch(pattern, found, re.DOTALL), (at, found)
    elif isinstance(said, bool) or said is None:
        assert type(found) is type(said), (at, found)
    elif "usage" in at or "estimate" in at:
        assert isinstance(found, int | float), (at, found)
    else:
        assert found == said, (at, found)


def verify(receiver: Receiver, variables: Mapping[str, str]) -> None:
    """The chat's result was sent to the address, signed, and once."""
    told = [
        Webhook(variables["SECRET"]).verify(body, headers) for headers, body in receiver.received
    ]
    of_chat = [event for event in told if event["conversation_id"] == variables["CHAT"]]
    assert [event["event"] for event in of_chat] == ["conversation.analyzed"]
    assert of_chat[0]["trigger"] == "initial"
    assert set(of_chat[0]["analysis"]) >= {"topic", "resolved"}


@pytest.mark.parametrize("runner", [curl.by_curl, curl.by_hand])
def test_commands_run_the_same_with_and_without_curl(
    runner: Any, live_server: LiveServer, tmp_path: Path
) -> None:
    if runner is curl.by_curl and not curl.has_curl():
        pytest.skip("there is no curl here; its stand-in is tested")
    _, key = create_api_key(name="document", role=Role.ADMIN, by=Actor.system("tests"))
    make_model(name="m")
    variables = {"URL": live_server.url, "KEY": f"Authorization: Bearer {key}", "NAME": "Line"}
    script = """cat > lines.jsonl <<'END'
{"agent_id": "$NAME"}
END
curl -s "$URL/api/conversations/bulk" -H "$KEY" \\
  -H "Content-Type: application/x-ndjson" --data-binary @lines.jsonl
"""
    answer = runner(script, variables=variables, folder=tmp_path)
    assert answer.status == 200
    assert json.loads(answer.body)["refused"] == 1
    assert (tmp_path / "lines.jsonl").read_text() == '{"agent_id": "$NAME"}\n'
    script = 'curl -s -G "$URL/api/agents" -H "$KEY" -d limit=5 -d include_total=true\n'
    answer = runner(script, variables=variables, folder=tmp_path)
    assert json.loads(answer.body) == {"items": [], "next_cursor": None, "total": 0}
    script = 'curl -s -X DELETE "$URL/api/conversations/none" -H "$KEY"\n'
    assert runner(script, variables=variables, folder=tmp_path).status == 404
