"""A worker that is killed while it writes the list of a run: the next one continues it."""

import random

import pytest
from django.db import connection
from django.db.models import Count

from apps.accounts.actors import Actor
from apps.conversations.models import Conversation
from apps.runs import services
from apps.runs.freezing import BATCH
from apps.runs.models import Run, State
from apps.runs.options import Options
from tests.factories import make_agent, make_conversation

from .harness import Workers, wait_until

pytestmark = [pytest.mark.django_db(transaction=True)]

ITEMS = 3 * BATCH
TESTS = Actor.system("tests")


def test_a_killed_list_is_completed_once(workers: Workers) -> None:
    make_conversation(make_agent())
    _multiply(ITEMS)
    run = services.start(channel="voice", params={}, options=Options(), by=TESTS)
    services.pause(run=run, by=TESTS)
    workers.start()
    kills = [0]

    def kill_in_the_middle() -> None:
        if not kills[0] and 0 < Run.objects.get().frozen < ITEMS:
            kills[0] += 1
            workers.kill_one(random.Random(1))

    wait_until(lambda: _is_frozen(run), timeout=120, every=0.01, between=kill_in_the_middle)

    assert kills == [1]
    assert (run.state, run.total) == (State.PAUSED, ITEMS)
    items = run.items.order_by().aggregate(n=Count("pk"), each=Count("conversation", distinct=True))
    assert items == {"n": ITEMS, "each": ITEMS}


def _is_frozen(run: Run) -> bool:
    """the list is complete"""
    run.refresh_from_db()
    return not run.freezing


def _multiply(rows: int) -> None:
    names = [str(f.column) for f in Conversation._meta.concrete_fields if f.column != "id"]
    changed = {"public_id": "'conv_' || k", "external_id": "'x' || k"}
    values = ", ".join(changed.get(name, f"c.{name}") for name in names)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO conversations_conversation ({', '.join(names)}) SELECT {values}"
            " FROM conversations_conversation c, generate_series(2, %s) AS k",
            [rows],
        )
