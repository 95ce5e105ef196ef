"""Alert mails whose worker is killed: each arrives, and a repeated one has the same ID."""

import random
from collections import Counter
from collections.abc import Iterator

import pytest

from apps.alerts.models import Message, MessageKind, MessageState
from apps.core.tasks import send
from tests.alerts.alerting import result_rule
from tests.fakes.mail_server import MailServer

from .harness import Workers, wait_until

pytestmark = [pytest.mark.django_db(transaction=True)]

MAILS = 60


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    """A server that takes its time, so that some mails are always on their way."""
    running = MailServer(delay=0.2)
    yield running
    running.close()


def test_each_mail_of_a_killed_worker_arrives_under_one_id(
    workers: Workers, mail_server: MailServer
) -> None:
    rule = result_rule()
    Message.objects.bulk_create(
        Message(
            rule=rule,
            kind=MessageKind.EMAIL,
            address="lead@example.com",
            subject=f"Mail {number}",
            body="Something is wrong.",
        )
        for number in range(MAILS)
    )
    workers.environment = {"TEST_SMTP_PORT": str(mail_server.port)}
    workers.start()
    chance = random.Random(1)
    moments = [10, 30]

    def kill_now_and_then() -> None:
        if moments and len(mail_server.mails) >= moments[0]:
            moments.pop(0)
            workers.kill_one(chance)

    def sent() -> bool:
        """all mails were sent"""
        return not Message.objects.exclude(state=MessageState.SENT).exists()

    def drum() -> None:
        send("alerts.sweep", queue="maintenance", kwargs={})

    wait_until(sent, timeout=120, every=0.02, between=kill_now_and_then, drum=drum)

    assert not moments
    ids = dict(Message.objects.values_list("subject", "public_id"))
    came = Counter((str(mail["Subject"]), str(mail["Message-ID"])) for mail in mail_server.mails)
    assert {subject for subject, _ in came} == set(ids)
    assert all(key.startswith(f"<{ids[subject]}@") for subject, key in came)
    # Only what a killed worker had sent and not recorded comes again: at most two per slot.
    assert MAILS <= came.total() <= MAILS + 2 * (2 * 8)
