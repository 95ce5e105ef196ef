"""A rollback whose worker is killed in the middle resumes and restores each result once."""

import pytest
from django.db.models import Count

from apps.accounts.actors import Actor
from apps.analysis.imports import Imported, record_imported
from apps.analysis.models import Analysis
from apps.conversations.models import Conversation
from apps.runs.rollbacks.services import start_rollback
from apps.runs.rollbacks.work import Selection
from tests.factories import make_agent, make_conversations
from tests.runs.completed import backfill

from .harness import Workers
from .runs import finish, states

pytestmark = [pytest.mark.django_db(transaction=True)]

ITEMS = 6_000
TESTS = Actor.system("tests")


def test_a_killed_rollback_resumes(workers: Workers) -> None:
    make_conversations(make_agent(), ITEMS)
    conversations = list(Conversation.objects.order_by("pk"))
    record_imported(
        [Imported(one, {"call_summary": f"First {one.pk}."}) for one in conversations], by=TESTS
    )
    run = backfill([{"call_summary": "New."}] * ITEMS)
    workers.start()
    undone = start_rollback(selection=Selection(run), by=TESTS)
    finish(undone, workers, kill_at=[500, 3_000])
    assert states(undone) == {"done": ITEMS}
    restored = Analysis.objects.filter(backfill_public_id=undone.public_id)
    assert restored.count() == restored.filter(is_current=True).count() == ITEMS
    twice = restored.order_by().values("conversation").annotate(n=Count("pk")).filter(n__gt=1)
    assert not twice.exists()
    assert not Conversation.objects.filter(summary="New.").exists()
