"""A column of plain text is accepted, stored, shown, filtered, and exported (docs/contributing)."""

import csv
import json
import re
import subprocess
from io import StringIO
from textwrap import dedent

import pytest
from django.conf import settings
from django.core.management import call_command
from django.test import Client

from apps.accounts.actors import Actor
from apps.accounts.keys import create_api_key
from apps.accounts.models import Role
from apps.conversations.models import PLAIN_TEXT, Conversation
from tests.factories import client_as, make_agent

pytestmark = [pytest.mark.django_db]

VALUE = "wq-4711"


@pytest.fixture
def api() -> Client:
    _, key = create_api_key(name="tests", role=Role.OPERATOR, by=Actor.system("tests"))
    return Client(headers={"Authorization": f"Bearer {key}"})


def posted(api: Client, name: str) -> Conversation:
    body = {
        "agent_id": make_agent().public_id,
        "channel": "voice",
        "messages": [{"role": "user", "content": "Hello."}],
        name: VALUE,
    }
    response = api.post("/api/conversations", json.dumps(body), content_type="application/json")
    assert response.status_code == 201, response.text
    return Conversation.objects.get(public_id=response.json()["id"])


@pytest.mark.parametrize("name", PLAIN_TEXT)
def test_plain_text_is_stored_and_returned_by_the_api(api: Client, name: str) -> None:
    call = posted(api, name)
    assert getattr(call, name) == VALUE
    returned = api.get(f"/api/conversations/{call.public_id}").json()
    assert returned[name] == VALUE
    assert name not in returned["metadata"]


@pytest.mark.parametrize("name", PLAIN_TEXT)
def test_plain_text_filters_lists(api: Client, name: str) -> None:
    call = posted(api, name)
    for text, found in ((VALUE, [call.public_id]), ("another", [])):
        rows = api.get("/api/conversations", {name: text}).json()["items"]
        assert [row["id"] for row in rows] == found


@pytest.mark.parametrize("name", PLAIN_TEXT)
def test_plain_text_is_on_pages(api: Client, name: str) -> None:
    call = posted(api, name)
    viewer = client_as("viewer")
    assert VALUE in viewer.get(f"/conversations/{call.public_id}/?tab=details").text
    assert VALUE in viewer.get(f"/calls/?columns={name}").text


@pytest.mark.parametrize("name", PLAIN_TEXT)
def test_plain_text_is_exported(api: Client, name: str) -> None:
    posted(api, name)
    lines, table = StringIO(), StringIO()
    call_command("export_conversations", format="jsonl", stdout=lines)
    call_command(
        "export_conversations", format="csv", channel="voice", everything=True, stdout=table
    )
    assert json.loads(lines.getvalue())[name] == VALUE
    assert next(csv.DictReader(StringIO(table.getvalue())))[name] == VALUE


def test_documented_change_touches_at_most_five_files_and_applies() -> None:
    page = (settings.BASE_DIR / "docs/contributing/conversation-field.md").read_text()
    diff = re.search(r"```diff\n(.*?) *```", page, re.DOTALL)
    assert diff
    change = dedent(diff[1])
    files = re.findall(r"^\+\+\+ b/(\S+)$", change, re.MULTILINE)
    assert len({*files, "docs/interfaces.md"}) <= 5
    check = subprocess.run(
        ["git", "apply", "--check", "-C1", "-"],
        input=change,
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
    )
    assert check.returncode == 0, check.stderr
