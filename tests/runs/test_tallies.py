"""The sums of a run's changes are what counting its items gives, whatever wrote them."""

import random
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.conversations.models import Conversation
from apps.runs import progress
from apps.runs.models import ItemState, ItemTally, Run, RunItem
from apps.runs.progress import join_tallies, progress_of, progress_of_each
from tests.factories import make_agent, make_conversations

pytestmark = pytest.mark.django_db


def make_run(conversations: list[Conversation], **values: Any) -> Run:
    now = timezone.now()
    run = Run.objects.create(
        channel="voice",
        as_of=now,
        state="running",
        started_at=now - timedelta(hours=1),
        save_token=str(Run.objects.count()),
        created_by="tests",
        total=len(conversations),
    )
    RunItem.objects.bulk_create(
        RunItem(
            run=run,
            conversation=one,
            config=one.agent_version.config,
            agent_version=one.agent_version,
            **values,
        )
        for one in conversations
    )
    return run


@pytest.fixture
def conversations() -> list[Conversation]:
    return make_conversations(make_agent(), 12)


def counted(run: Run) -> dict[str, Any]:
    """Count the items of a run one by one."""
    items = list(run.items.all())
    states = {state: sum(item.state == state for item in items) for state in ItemState.values}
    unpriced = any(item.cost is None and item.input_tokens for item in items)
    paid = sum((item.cost or Decimal(0) for item in items), Decimal(0))
    return states | {
        "changed": sum(item.changed is True for item in items),
        "cost": None if unpriced else paid,
        "input_tokens": sum(item.input_tokens for item in items),
        "output_tokens": sum(item.output_tokens for item in items),
    }


def summed(run: Run) -> dict[str, Any]:
    """Return the same of its progress."""
    found = progress_of(run)
    return {name: getattr(found, name) for name in counted(run)}


#: What the parts of Debrief write into items, in one statement each.
CHANGES: list[dict[str, Any]] = [
    {"state": "running", "lease_token": "5b0c5a4e-3b5c-4c53-9d0c-6f3a1f8f4f11"},
    {"state": "pending", "lease_token": None, "finished_at": None, "error_code": ""},
    {"state": "done", "changed": True, "cost": Decimal("0.0021"), "input_tokens": 900},
    {"state": "done", "changed": False, "cost": Decimal("0.0013"), "output_tokens": 70},
    {"state": "done", "changed": None, "cost": None, "input_tokens": 500},
    {"state": "failed", "error_code": "timeout"},
    {"state": "skipped", "error_code": ""},
    {"cost": Decimal("0.5")},
    {"not_before": timezone.now()},
]


@pytest.mark.parametrize("seed", range(6))
def test_sums_equal_counts_after_any_statements(
    conversations: list[Conversation], seed: int
) -> None:
    rng = random.Random(seed)
    runs = [make_run(conversations), make_run(conversations)]
    keys = list(RunItem.objects.values_list("pk", flat=True))
    for _ in range(15):
        values = {"finished_at": timezone.now(), **rng.choice(CHANGES)}
        RunItem.objects.filter(pk__in=rng.sample(keys, 7)).update(**values)
        for run in runs:
            assert summed(run) == counted(run)


def test_sums_know_items_inserted_in_a_final_state(conversations: list[Conversation]) -> None:
    run = make_run(
        conversations, state="done", changed=True, input_tokens=10, finished_at=timezone.now()
    )
    assert summed(run) == counted(run)
    assert progress_of(run).done == 12


def test_pending_items_and_unchanged_counts_leave_no_tally(
    conversations: list[Conversation],
) -> None:
    run = make_run(conversations)
    run.items.update(not_before=timezone.now())
    assert not ItemTally.objects.exists()
    assert progress_of(run).pending == 12


def test_a_statement_undone_leaves_no_tally(conversations: list[Conversation]) -> None:
    run = make_run(conversations)
    with transaction.atomic():
        run.items.update(state="skipped", finished_at=timezone.now())
        transaction.set_rollback(True)
    assert progress_of(run).pending == 12


def test_a_statement_leaves_one_tally_for_each_run(conversations: list[Conversation]) -> None:
    runs = [make_run(conversations), make_run(conversations)]
    RunItem.objects.update(state="skipped", finished_at=timezone.now())
    assert sorted(ItemTally.objects.values_list("run", "skipped")) == sorted(
        (run.pk, 12) for run in runs
    )


def test_joined_tallies_have_the_same_sums(
    conversations: list[Conversation], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "FEW_TALLIES", 3)
    busy, quiet = make_run(conversations), make_run(conversations)
    for item in busy.items.all():
        RunItem.objects.filter(pk=item.pk).update(
            state="done", cost=Decimal("0.25"), finished_at=timezone.now()
        )
    quiet.items.update(state="failed", error_code="timeout", finished_at=timezone.now())
    before = [summed(busy), summed(quiet)]
    join_tallies()
    assert ItemTally.objects.filter(run=busy).count() == 12  # a rate still looks at them
    ItemTally.objects.update(at=timezone.now() - timedelta(hours=1))
    join_tallies()
    assert ItemTally.objects.filter(run=busy).count() == 1
    assert ItemTally.objects.filter(run=quiet).count() == 1
    assert [summed(busy), summed(quiet)] == before == [counted(busy), counted(quiet)]


def test_progress_of_many_runs_is_one_query_that_reads_no_item(
    conversations: list[Conversation],
) -> None:
    runs = [make_run(conversations) for _ in range(3)]
    RunItem.objects.update(state="skipped", finished_at=timezone.now())
    with CaptureQueriesContext(connection) as queries:
        found = progress_of_each(runs)
    assert len(queries) == 1
    assert "runs_runitem" not in queries[0]["sql"]
    assert [found[run.pk].skipped for run in runs] == [12, 12, 12]
