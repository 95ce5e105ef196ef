"""The dialog that applies mappings to past analyses."""

import re

import pytest

from apps.accounts.models import Role
from apps.analysis.imports import Imported, record_imported
from apps.conversations.models import Conversation
from apps.runs import batches
from apps.runs.models import Run
from tests.factories import make_agent, make_contact, make_conversations
from tests.runs.completed import BY

from .test_views import HTMX, as_role, text

pytestmark = [pytest.mark.django_db(transaction=True)]

URL = "/backfills/mappings/"


def test_the_dialog_shows_counts_and_starts_one_run() -> None:
    make_conversations(make_agent(), 2)
    Conversation.objects.update(contact=make_contact())
    record_imported([Imported(one, {"plan": "pro"}) for one in Conversation.objects.all()], by=BY)
    editor = as_role(Role.EDITOR)

    dialog = editor.get(URL, headers=HTMX)
    assert "2 calls with a result, of 1 contact" in text(dialog)
    assert "0 chats with a result" in text(dialog)
    token = re.search(r'name="token" value="([^"]+)"', dialog.content.decode())
    assert token
    for data, words in (({"token": ""}, "Review the numbers"), ({"token": "x"}, "expired")):
        assert words in text(editor.post(URL, {"channel": "voice", **data}, headers=HTMX))
    for _ in range(2):
        editor.post(URL, {"channel": "voice", "token": token[1]}, headers=HTMX)
    batches.run_batches(seconds=600)

    run = Run.objects.get()
    page = text(editor.get(f"/backfills/{run.public_id}/"))
    assert "Mapping run of 2 calls" in page
    assert "Completed" in page
    assert "What changed" not in page
    assert as_role(Role.OPERATOR).get(URL).status_code == 403
