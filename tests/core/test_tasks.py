"""Sending to a broker that is there, that is away, and that comes back."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from celery import Celery, current_app
from django.conf import settings
from django.db import transaction
from pytest_django import DjangoCaptureOnCommitCallbacks

from apps.core import tasks

QUEUE = "maintenance"


@pytest.fixture(autouse=True)
def _forget_that_the_broker_was_away() -> None:
    tasks.broker_away.reset()


class Waiting:
    """What waits in the real broker's queue."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client

    def messages(self) -> list[Any]:
        return [json.loads(text) for text in self.client.lrange(QUEUE, 0, -1)]


@pytest.fixture
def queue() -> Iterator[Waiting]:
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.delete(QUEUE)
        yield Waiting(client)
        client.delete(QUEUE)


@pytest.fixture
def broker_away(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A port on which nobody listens."""
    app = Celery("away", broker="redis://127.0.0.1:9/0", set_as_current=False)
    app.conf.broker_transport_options = current_app.conf.broker_transport_options
    monkeypatch.setattr(tasks, "current_app", app)
    yield
    app.close()


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(1_000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("It did not happen within 10 seconds.")


@pytest.mark.django_db
def test_sends_on_commit(
    queue: Waiting, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        tasks.enqueue("accounts.purge", queue=QUEUE, backfill_id=7)
        assert queue.messages() == []

    [message] = queue.messages()
    assert message["headers"]["task"] == "accounts.purge"
    assert json.loads(base64.b64decode(message["body"]))[1] == {"backfill_id": 7}


@pytest.mark.django_db(transaction=True)
def test_sends_nothing_when_rolled_back(queue: Waiting) -> None:
    with transaction.atomic():
        tasks.enqueue("accounts.purge", queue=QUEUE)
        transaction.set_rollback(True)

    assert queue.messages() == []


@pytest.mark.django_db
def test_wake_up_signals_of_a_moment_share_one_message(
    queue: Waiting,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    clock = SimpleNamespace(monotonic=lambda: 100.0)
    monkeypatch.setattr(tasks, "time", clock)
    monkeypatch.setattr(tasks, "_wakes_at", {})

    def wake(**kwargs: int) -> None:
        with django_capture_on_commit_callbacks(execute=True):
            tasks.wake("accounts.purge", queue=QUEUE, **kwargs)

    wake()
    assert len(queue.messages()) == 1  # nobody waits for the first one
    for _ in range(20):
        wake()
    wait_for(lambda: len(queue.messages()) == 2)
    wake(other=7)  # another task
    clock.monotonic = lambda: 100.0 + tasks.WAKE_SECONDS
    wake()  # the one that was sent at this moment may have come too early
    wait_for(lambda: len(queue.messages()) == 4)
    clock.monotonic = lambda: 101.0
    wake()
    assert len(queue.messages()) == 5


@pytest.mark.django_db
@pytest.mark.usefixtures("broker_away")
def test_an_absent_broker_fails_nothing_and_is_left_alone(
    caplog: pytest.LogCaptureFixture,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    began = time.monotonic()
    with django_capture_on_commit_callbacks(execute=True):
        for _ in range(50):
            tasks.enqueue("accounts.purge", queue=QUEUE)

    assert time.monotonic() - began < 3
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "the sweep will pick up" in caplog.text


@pytest.mark.usefixtures("broker_away")
def test_tries_again_after_a_while(monkeypatch: pytest.MonkeyPatch, queue: Waiting) -> None:
    assert tasks.send("accounts.purge", queue=QUEUE, kwargs={}) is False
    monkeypatch.undo()
    monkeypatch.setattr(tasks.broker_away, "_until", time.monotonic() - 0.1)

    assert tasks.send("accounts.purge", queue=QUEUE, kwargs={}) is True
    assert len(queue.messages()) == 1
