"""Templates over the API: listed, and begun with."""

import json

import pytest

from apps.agents.models import Agent
from apps.agents.templates import BY_KEY
from tests.factories.drafts import draft

from .conftest import Caller

pytestmark = pytest.mark.django_db


def test_templates_are_listed(viewer: Caller) -> None:
    items = json.loads(viewer.get("/agents/templates").content)["items"]
    assert [item["key"] for item in items] == list(BY_KEY)
    assert items[1]["schema"] == BY_KEY["support_short"].schema()


def test_an_agent_begins_with_a_template(editor: Caller) -> None:
    body = {"name": "New", "channel": "chat", "template": "customer_support"}
    answer = editor.post("/agents", body)
    assert answer.status_code == 201
    analysis = json.loads(answer.content)["draft"]["analysis"]
    assert analysis["schema"] == BY_KEY["customer_support"].schema()
    assert analysis["built_ins"]["chat_summary"]["enabled"] is False
    assert json.loads(answer.content)["draft"]["columns"]["outcome"] == "resolution_status"
    made = Agent.objects.get(name="New")
    assert list(draft(made).config.parsed().own_fields()) == list(analysis["schema"]["properties"])


def test_a_template_that_there_is_not(editor: Caller) -> None:
    answer = editor.post("/agents", {"name": "New", "channel": "chat", "template": "x"})
    assert answer.status_code == 422
    assert json.loads(answer.content)["error"]["code"] == "invalid_value"
    assert "customer_support" in json.loads(answer.content)["error"]["fields"]["template"]
    assert not Agent.objects.exists()
