"""A worker that is killed while it writes the list of a run: the next one continues it."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection
from django.db.models import Count, Model

from apps.accounts.actors import Actor
from apps.analysis.imports import Imported, record_imported
from apps.analysis.models import Analysis
from apps.conversations.models import Conversation
from apps.runs import control, services
from apps.runs.derived.services import start_recompute
from apps.runs.models import Run, State
from apps.runs.options import Options
from tests.factories import make_agent, make_conversation, make_derived_field, make_draft
from tests.factories.derived import PROPERTIES

from .harness import Workers, wait_until

pytestmark = [pytest.mark.django_db(transaction=True)]

BATCH = 5_000
ITEMS = 4 * BATCH
TESTS = Actor.system("tests")


def _start_backfill() -> Run:
    make_conversation(make_agent())
    _multiply(ITEMS)
    return services.start(channel="voice", params={}, options=Options(), by=TESTS)


def _start_recompute() -> Run:
    conversation = make_conversation(make_draft(properties=PROPERTIES).agent)
    record_imported([Imported(conversation, {"score": 10, "greeting": True})], by=TESTS)
    _multiply(ITEMS)
    return start_recompute(field=make_derived_field(), by=TESTS)


@pytest.mark.parametrize("start", [_start_backfill, _start_recompute])
def test_a_killed_list_is_completed_once(
    start: Callable[[], Run], workers: Workers, settings: Any
) -> None:
    settings.FREEZE_BATCH = BATCH
    workers.environment = {"TEST_FREEZE_BATCH": str(BATCH)}
    run = start()
    control.pause(run=run, by=TESTS)
    with _one_slot_held(run):
        workers.start()
        wait_until(lambda: _frozen(run) > 0, timeout=120, every=0.01)
        workers.kill_one(random.Random(1))
        assert _frozen(run) < ITEMS
    wait_until(lambda: _is_frozen(run), timeout=120, every=0.01)

    assert (run.state, run.total) == (State.PAUSED, ITEMS)
    items = run.items.order_by().aggregate(n=Count("pk"), each=Count("conversation", distinct=True))
    assert items == {"n": ITEMS, "each": ITEMS}


@contextmanager
def _one_slot_held(run: Run) -> Iterator[None]:
    """Let workers write every other range only, so that the list can't be complete yet."""
    lock = [f"list 1 of {run.public_id}"]
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", lock)
        yield
        cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", lock)


def _frozen(run: Run) -> int:
    """Return how many items are written so far."""
    run.refresh_from_db()
    return run.frozen


def _is_frozen(run: Run) -> bool:
    """the list is complete"""
    run.refresh_from_db()
    return not run.freezing


def _multiply(rows: int) -> None:
    """Copy the only conversation, with its result if it has one."""
    changed = {"public_id": "'conv_' || k", "external_id": "'x' || k"}
    result = {"public_id": "'an_' || c.id", "conversation_id": "c.id"}
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO conversations_conversation {_copy(Conversation, 'c', changed)}"
            " FROM conversations_conversation c, generate_series(2, %s) AS k",
            [rows],
        )
        cursor.execute(
            f"INSERT INTO analysis_analysis {_copy(Analysis, 'a', result)} FROM analysis_analysis a"
            " JOIN conversations_conversation c ON c.id <> a.conversation_id"
        )


def _copy(model: type[Model], table: str, changed: dict[str, str]) -> str:
    names = [str(f.column) for f in model._meta.concrete_fields if f.column != "id"]
    values = ", ".join(changed.get(name, f"{table}.{name}") for name in names)
    return f"({', '.join(names)}) SELECT {values}"
