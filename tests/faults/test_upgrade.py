"""`manage.py upgrade` to a later version while workers of this one are running."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from django.db import connection

from apps.conversations.models import Conversation
from tests.config.databases import installed_on
from tests.config.running import ended, started
from tests.fakes.fixtures import FakeLLM

from .harness import Workers, wait_until
from .runs import assert_whole, done, is_over, run_of

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

ITEMS = 800


@pytest.fixture
def later_version(workers: Workers, tmp_path: Path) -> Iterator[Mapping[str, str]]:
    """Yield the environment of the later version; its migrations are undone afterward."""
    environ = installed_on(
        str(connection.settings_dict["NAME"]),
        tmp_path,
        DJANGO_SETTINGS_MODULE="tests.faults.later_version.settings",
    )
    yield environ
    workers.kill_all()
    undone = ended(started(environ, "migrate", "later_version", "zero", "--verbosity=0"))
    assert undone == (0, [])


def columns_named_later() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name FROM information_schema.columns WHERE column_name = 'later'"
        )
        return {name for (name,) in cursor.fetchall()}


def test_a_migration_fails_and_is_repeated_while_workers_run(
    fake_llm: FakeLLM, workers: Workers, later_version: Mapping[str, str]
) -> None:
    """The failed one leaves nothing behind, those before it stay, and the run completes."""
    fake_llm.set(latency=0.8)
    workers.concurrency = 8
    workers.start()
    workers.start()
    run = run_of(fake_llm, ITEMS)
    wrong = Conversation.objects.order_by("pk")[0]
    Conversation.objects.filter(pk=wrong.pk).update(language="xx")
    wait_until(lambda: done(run) >= 16, every=0.02)

    code, lines = ended(started(later_version, "upgrade"))
    assert (code, lines[-2]) == (1, "running 2 migrations"), lines
    assert lines[-1].startswith(
        "debrief: migration 0002_rule of later_version failed and was rolled back (check"
        ' constraint "later_rule" of relation "conversations_conversation" is violated'
    )
    assert columns_named_later() == {"runs_runitem"}

    Conversation.objects.filter(pk=wrong.pk).update(language="en")
    code, lines = ended(started(later_version, "upgrade"))
    assert (code, lines[-2:]) == (0, ["running 1 migration", "up to date"])
    assert columns_named_later() == {"runs_runitem", "conversations_conversation"}
    assert done(run) < ITEMS, "the run ended before the upgrade"

    wait_until(lambda: is_over(run), timeout=120)
    assert_whole(run, fake_llm, items=ITEMS)
