"""Sending to a broker that is there, that is away, and that comes back."""

import time

import pytest
from celery import current_app
from django.db import transaction

from apps.core import tasks

QUEUE = "maintenance"


@pytest.fixture(autouse=True)
def _forget_that_the_broker_was_away(monkeypatch):
    monkeypatch.setattr(tasks, "_away_until", 0.0)


@pytest.fixture
def queue():
    """The real queue, empty; reads the tasks that were sent."""
    with current_app.connection_for_read() as connection, connection.SimpleQueue(QUEUE) as queue:
        queue.clear()
        yield queue
        queue.clear()


@pytest.fixture
def broker_away(monkeypatch):
    """A port on which nobody listens."""
    app = type(current_app._get_current_object())("away", broker="redis://127.0.0.1:9/0")
    app.conf.broker_transport_options = current_app.conf.broker_transport_options
    monkeypatch.setattr(tasks, "current_app", app)
    yield
    app.close()


def _sent(queue):
    message = queue.get(timeout=2)
    message.ack()
    return message


@pytest.mark.django_db
def test_sends_on_commit(queue, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        tasks.enqueue("accounts.purge", queue=QUEUE, backfill_id=7)
        assert queue.qsize() == 0

    message = _sent(queue)
    assert message.headers["task"] == "accounts.purge"
    assert message.payload[1] == {"backfill_id": 7}


@pytest.mark.django_db(transaction=True)
def test_sends_nothing_when_rolled_back(queue):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        tasks.enqueue("accounts.purge", queue=QUEUE)
        raise ZeroDivisionError

    assert queue.qsize() == 0


@pytest.mark.django_db
@pytest.mark.usefixtures("broker_away")
def test_an_absent_broker_fails_nothing_and_is_left_alone(
    caplog, django_capture_on_commit_callbacks
):
    began = time.monotonic()
    with django_capture_on_commit_callbacks(execute=True):
        for _ in range(50):
            tasks.enqueue("accounts.purge", queue=QUEUE)

    assert time.monotonic() - began < 3
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "left to the sweep" in caplog.text


@pytest.mark.usefixtures("broker_away")
def test_tries_again_after_a_while(monkeypatch, queue):
    assert tasks.send("accounts.purge", queue=QUEUE, kwargs={}) is False
    monkeypatch.undo()
    monkeypatch.setattr(tasks, "_away_until", time.monotonic() - 0.1)

    assert tasks.send("accounts.purge", queue=QUEUE, kwargs={}) is True
    _sent(queue)
