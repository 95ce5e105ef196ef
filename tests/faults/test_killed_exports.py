"""An export whose worker is killed ends with one file, in which each conversation is once."""

import csv
import io
import random
from datetime import timedelta

import pytest
from django.http import QueryDict
from django.utils import timezone

from apps.accounts.actors import Actor
from apps.accounts.models import User
from apps.conversations import exports
from apps.conversations.models import Conversation, Export, ExportPart
from apps.core.tasks import send
from tests.factories import make_agent, make_conversations

from .harness import Workers, wait_until

pytestmark = [pytest.mark.django_db(transaction=True)]

ROWS = 12_000
PARTS = 6


def test_a_killed_export_is_one_file_in_the_end(workers: Workers) -> None:
    make_conversations(make_agent(), ROWS)
    owner = User.objects.create_user("otto", role="operator")
    workers.start()
    export = exports.start(
        channel="voice",
        params=QueryDict("columns=external_id"),
        everything=False,
        owner=owner,
        by=Actor.system("tests"),
    )
    chance = random.Random(1)
    moments = [1]

    def is_over() -> bool:
        """the export has ended"""
        export.refresh_from_db()
        return export.state != Export.State.RUNNING

    def kill_now_and_then() -> None:
        if moments and export.parts_done >= moments[0]:
            moments.pop(0)
            workers.kill_one(chance)
            # So that the test need not wait until it looks interrupted.
            long_ago = timezone.now() - timedelta(minutes=5)
            Export.objects.filter(pk=export.pk, state="running").update(touched_at=long_ago)

    def resume() -> None:
        send("conversations.sweep_exports", queue="maintenance", kwargs={})

    wait_until(is_over, timeout=120, every=0.01, between=kill_now_and_then, drum=resume)

    assert not moments
    assert (export.state, export.rows_done, export.parts_done) == ("done", ROWS, PARTS)
    numbers = ExportPart.objects.filter(export=export).order_by("number")
    assert list(numbers.values_list("number", flat=True)) == list(range(PARTS))
    text = b"".join(exports.chunks_of(export)).decode("utf-8-sig")
    rows = [row[0] for row in csv.reader(io.StringIO(text))]
    assert len(rows) == ROWS + 1, "one head"
    assert sorted(rows[1:]) == sorted(Conversation.objects.values_list("public_id", flat=True))
