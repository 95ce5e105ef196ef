"""A recomputation whose worker is killed resumes, asks no model, and can be rolled back whole."""

from typing import Any

import pytest
from django.db import connection
from django.db.models import Count

from apps.accounts.actors import Actor
from apps.analysis.imports import Imported, record_imported
from apps.analysis.models import Analysis
from apps.conversations.models import Conversation
from apps.llm.models import Usage
from apps.runs.derived.services import start_recompute
from apps.runs.derived.work import preview_recompute
from apps.runs.rollbacks.services import start_rollback
from apps.runs.rollbacks.work import Selection
from tests.factories import make_conversations, make_derived_field, make_draft
from tests.factories.derived import PROPERTIES, SCORECARD

from .harness import Workers
from .runs import finish, states

pytestmark = [pytest.mark.django_db(transaction=True)]

ITEMS = 6_000
TESTS = Actor.system("tests")
GREETING, SCORE = SCORECARD["scorecard"]["points"]
STRICTER = {
    "scorecard": {
        **SCORECARD["scorecard"],
        "points": [{**GREETING, "points": 2}, {**SCORE, "points": 1}],
        "pass_mark": 100,
    }
}

_VALUES = """
SELECT c.id, c.analysis_data::text, a.output::text FROM conversations_conversation c
JOIN analysis_analysis a ON a.conversation_id = c.id AND a.is_current ORDER BY c.id
"""


def values() -> list[tuple[Any, ...]]:
    """All values of all conversations, as they and their current results have them."""
    with connection.cursor() as cursor:
        cursor.execute(_VALUES)
        return list(cursor.fetchall())


def test_a_killed_recompute_resumes_and_its_rollback_restores_each_value(workers: Workers) -> None:
    agent = make_draft(properties=PROPERTIES).agent
    make_derived_field()
    imported = [
        Imported(one, {"greeting": number % 2 == 0, "score": number % 101, "issues": []})
        for number, one in enumerate(make_conversations(agent, ITEMS))
    ]
    record_imported(imported, by=TESTS)
    before = values()
    field = make_derived_field(definition=STRICTER)
    preview = preview_recompute(field)
    assert preview.results == ITEMS
    assert 2_000 < preview.changed < ITEMS

    workers.start()
    run = start_recompute(field=field, by=TESTS, token=preview.token)
    finish(run, workers, kill_at=[500, 3_000])
    assert states(run) == {"done": ITEMS}
    made = Analysis.objects.filter(backfill_public_id=run.public_id)
    twice = made.order_by().values("conversation").annotate(n=Count("pk")).filter(n__gt=1)
    assert not twice.exists()
    assert made.count() == run.items.filter(changed=True).count() == preview.changed
    flipped = Conversation.objects.filter(analysis_data__quality_passed=False)
    assert flipped.count() > sum('"quality_passed": false' in row[1] for row in before)

    undone = start_rollback(selection=Selection(run), by=TESTS)
    finish(undone, workers, kill_at=[1_000])
    assert states(undone) == {"done": preview.changed, "skipped": ITEMS - preview.changed}
    assert values() == before
    assert not Usage.objects.exists(), "no model was asked"
