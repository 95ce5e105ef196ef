"""What blocks a save, from every door: one sentence at its place, and nothing is changed."""

import json
import socket
import time
from typing import Any

import pytest
from django.test import Client

from apps.agents import services
from apps.agents.models import Agent
from apps.llm.schema import checker
from tests.factories.drafts import ADA, TOPIC, agent, draft, with_fields

from .test_pages import post, stamp, url

pytestmark = pytest.mark.django_db


def nested(depth: int) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        made = {"type": "object", "properties": {"a": made}}
    return made


def of(**fields: Any) -> str:
    return json.dumps({"type": "object", "properties": fields}, indent=1)


BAD = [
    ("not JSON", '{"type": "object",\n}', 2, "not JSON"),
    ("not a schema", '{"type": "object",\n "properties": {"a": 1}}', 2, "must be an object"),
    ("not an object", '{"type": "array"}', 1, "must be “object”, not “array”"),
    ("no schema at all", "[]", 1, "must be a JSON object, not a list"),
    ("a name twice", '{"type": "object", "properties": {"a": {},\n "a": {}}}', 2, "occurs twice"),
    ("a blank name", of(**{" ": {}}), 4, "no name"),
    ("a blank around", of(**{"a ": {}}), 4, "starts or ends with a space"),
    ("an endless name", of(**{"x" * 65: {}}), 4, "The maximum is 64"),
    ("a name nobody sees", of(**{"a\u200b": {}}), 4, "cannot be seen"),
    ("a built-in", of(call_summary={}), 4, "is reserved for a built-in"),
    ("a built-in of voice that is off", of(user_sentiment={}), 4, "is reserved for a built-in"),
    ("required, not there", '{"type": "object", "properties": {},\n "required": ["a"]}', 2,
     "“a”, which is not a field"),
    ("a remote reference", of(a={"$ref": "other.json#/a"}), 5, "never fetched"),
    ("a pattern we cannot run", of(a={"pattern": "^(?=(a+)+$)"}), 5, "Can't use pattern"),
    ("10,000 fields", json.dumps({"type": "object", "properties": {f"f{i}": {} for i in
     range(10_000)}}), 1, "The maximum is 5,000"),
    ("depth 200", json.dumps(nested(200)), 1, "deeper"),
]  # fmt: skip


@pytest.fixture
def made() -> Agent:
    found = agent(**with_fields(topic=dict(TOPIC)))
    off = {"user_sentiment": {"enabled": False}}
    services.save_draft(agent=found, changes={"analysis": {"built_ins": off}}, by=ADA)
    return found


@pytest.mark.parametrize(("text", "line", "said"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_a_schema_is_refused_at_its_place(
    editor: Client, made: Agent, text: str, line: int, said: str
) -> None:
    before = draft(made)
    started = time.process_time()
    with pytest.raises(services.InvalidDraft) as refused:
        services.save_draft(agent=made, changes={"analysis": {"schema": text}}, by=ADA)
    assert time.process_time() - started < 30
    fault = refused.value.faults[0]
    assert fault.place == "analysis.schema"
    assert fault.line == line
    assert said in fault.message
    assert fault.message.endswith(".")
    form = {**stamp(made), "mode": "json", "schema": text}
    for address in (url(made, "fields"), url(made, "fields/advice")):
        answer = post(editor, address, form)
        assert answer.status_code == 200
        assert f'data-line="{line}"' in answer.text
    assert draft(made).save_count == before.save_count


def test_a_remote_reference_is_never_fetched(editor: Client, made: Agent) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/x.json"
        for schema in (of(a={"$ref": address}), json.dumps({"type": "object", "$schema": address})):
            form = {**stamp(made), "mode": "json", "schema": schema}
            assert post(editor, url(made, "fields"), form).status_code == 200
            assert post(editor, url(made, "fields/advice"), form).status_code == 200
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_nothing_to_fill_in_is_refused_and_said_while_typing(editor: Client, made: Agent) -> None:
    names = ("call_summary", "call_successful", "user_sentiment")
    off = {"analysis": {"built_ins": {name: {"enabled": False} for name in names}}}
    services.save_draft(agent=made, changes=off, by=ADA)
    form = {**stamp(made), "mode": "json", "schema": '{"type": "object", "properties": {}}'}
    for address in (url(made, "fields"), url(made, "fields/advice")):
        assert "Add a field or turn on a built-in field" in post(editor, address, form).text
    assert list(draft(made).config.parsed().own_fields()) == ["topic"]


def test_a_pattern_that_would_backtrack_for_ever_is_run_in_linear_time(made: Agent) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}}
    services.save_draft(agent=made, changes={"analysis": {"schema": schema}}, by=ADA)
    started = time.process_time()
    found = checker(schema).examine({"a": "a" * 50_000 + "b"})
    assert found.problems
    assert time.process_time() - started < 30
