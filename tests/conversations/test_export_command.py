"""`manage.py export_conversations`."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from apps.conversations.models import Attributes
from tests.factories import make_agent, make_conversation, make_conversations

pytestmark = [pytest.mark.django_db]


def export(**options: object) -> str:
    out = StringIO()
    call_command("export_conversations", stdout=out, **options)
    return out.getvalue()


def test_jsonl_is_what_the_bulk_upload_reads() -> None:
    agent = make_agent()
    make_conversations(agent, 3)
    other = make_conversation(make_agent(channel="chat"), language="de")
    lines = export(format="jsonl", filters=["language=de"]).splitlines()
    assert [json.loads(line)["id"] for line in lines] == [other.public_id]
    assert json.loads(lines[0])["messages"]
    assert len(export(format="jsonl", channel="voice").splitlines()) == 3


def test_csv_has_the_columns_that_were_asked_for() -> None:
    conversation = make_conversation(make_agent(), from_number="+15550100")
    rows = export(format="csv", channel="voice", filters=["columns=from_number"]).splitlines()
    assert rows == ["\ufeffid,from_number", f"{conversation.public_id},+15550100"]


def test_csv_of_everything() -> None:
    call = make_conversation(make_agent())
    Attributes.objects.update_or_create(conversation=call, defaults={"metadata": {"plan": "pro"}})
    head = export(format="csv", channel="voice", everything=True).splitlines()[0].split(",")
    assert {"status", "direction", "agent_version", "metadata.plan"} <= set(head)


@pytest.mark.parametrize("text", ["nonsense=1", "language", "=de", "duration_ms__gt=soon"])
def test_a_bad_filter_exports_nothing(text: str) -> None:
    make_conversation(make_agent())
    with pytest.raises(CommandError):
        export(format="jsonl", filters=[text])
