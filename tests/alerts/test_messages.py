"""Notifications: batched, sent to everyone, retried, and lost by nothing."""

import json
import smtplib
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.utils import timezone

from apps.accounts.models import User
from apps.alerts import incidents, services
from apps.alerts.checks import run_checks
from apps.alerts.messages import MESSAGES, claim, work_waits
from apps.alerts.models import AlertRule, Message
from apps.alerts.notices import notify_due
from apps.alerts.retention import KEPT, forget_old
from tests.fakes.receiver import Answer, Receiver
from tests.webhooks.deliveries import Clock, new_clock

from .alerting import EVE, calls, quality_agent, rate_rule, record, result_rule, send

pytestmark = pytest.mark.django_db


class DownBackend(EmailBackend):
    """A mail server that is down while ``is_down``."""

    is_down = True

    def send_messages(self, messages: Any) -> int:
        if DownBackend.is_down:
            raise smtplib.SMTPServerDisconnected("Connection refused")
        return super().send_messages(messages)


def bad_calls(how_many: int, clock: Clock) -> None:
    record(calls(quality_agent(), clock(), [{"overall_score": 1}] * how_many))
    run_checks(clock())
    notify_due(clock())


def subjects() -> list[str]:
    return [str(message.subject) for message in mail.outbox]


def test_mails_are_batched_with_their_count() -> None:
    clock = new_clock()
    result_rule(addresses=["lead@example.com"])
    bad_calls(1, clock)
    assert send(clock) == 1
    assert subjects() == ["[Debrief] Bad calls: alert"]
    for _ in range(3):
        clock.move(minutes=4)
        bad_calls(2, clock)
        send(clock)
    assert len(mail.outbox) == 1
    clock.move(minutes=3)
    notify_due(clock())
    assert send(clock) == 1
    assert subjects()[1] == "[Debrief] Bad calls: 6 more conversations"
    clock.move(minutes=16)
    notify_due(clock())
    assert send(clock) == 0


def test_members_and_addresses_get_one_mail_each() -> None:
    ada = User.objects.create_user("ada", email="ada@example.com")
    gone = User.objects.create_user("gone", email="gone@example.com", is_active=False)
    clock = new_clock()
    result_rule(members=[ada, gone], addresses=["ADA@example.com", "lead@example.com"])
    bad_calls(3, clock)
    assert send(clock) == 2
    assert sorted(message.to[0].lower() for message in mail.outbox) == [
        "ada@example.com",
        "lead@example.com",
    ]
    body = str(mail.outbox[0].body)
    assert "3 conversations matched." in body
    assert "overall_score" in body


def test_slack_and_teams_get_their_own_bodies(receiver: Receiver) -> None:
    clock = new_clock()
    urls = {"slack": receiver.url + "/slack", "teams": receiver.url + "/teams"}
    rule = result_rule(channels=urls, name="Bad <calls>")
    bad_calls(1, clock)
    assert send(clock) == 2
    slack, teams = sorted(receiver.received, key=lambda one: one.path)
    assert slack.payload["text"] == "[Debrief] Bad <calls>: alert"
    assert "Bad &lt;calls&gt;" in slack.payload["blocks"][1]["text"]["text"]
    card = teams.payload["attachments"][0]["content"]
    assert card["type"] == "AdaptiveCard"
    assert card["body"][0]["text"] == "[Debrief] Bad <calls>: alert"
    stored = rule.channels.get(kind="slack")
    assert bytes(stored.url_encrypted).find(b"slack") == -1
    assert not Message.objects.filter(body__contains=receiver.url).exists()


def test_nothing_is_lost_while_the_mail_server_is_down(settings: Any) -> None:
    settings.EMAIL_BACKEND = f"{__name__}.DownBackend"
    DownBackend.is_down = True
    clock = new_clock()
    result_rule(addresses=["lead@example.com"])
    bad_calls(1, clock)
    assert send(clock) == 1
    message = Message.objects.get()
    assert (message.state, message.attempts) == ("pending", 1)
    assert "didn’t accept" in message.last_error
    assert not work_waits(clock())
    DownBackend.is_down = False
    clock.move(hours=1)
    assert send(clock) == 1
    message.refresh_from_db()
    assert (message.state, message.last_error, len(mail.outbox)) == ("sent", "", 1)
    message_id = mail.outbox[0].extra_headers["Message-ID"]
    assert message_id.startswith(f"<{message.public_id}@")


def test_message_fails_after_a_day_of_attempts(settings: Any) -> None:
    settings.EMAIL_BACKEND = f"{__name__}.DownBackend"
    DownBackend.is_down = True
    clock = new_clock()
    result_rule(addresses=["lead@example.com"])
    bad_calls(1, clock)
    while Message.objects.get().state == "pending":
        send(clock)
        clock.move(hours=5)
    message = Message.objects.get()
    assert message.state == "failed"
    assert message.attempts >= 5
    assert forget_old(clock() + KEPT) == 1


def test_slack_that_is_down_is_retried_and_a_deleted_channel_is_not(receiver: Receiver) -> None:
    clock = new_clock()
    result_rule(channels={"slack": receiver.url})
    receiver.decide = lambda received: Answer(503, "later", headers={"Retry-After": "60"})
    bad_calls(1, clock)
    send(clock)
    message = Message.objects.get()
    assert message.last_error == "Slack returned 503: later"
    assert message.not_before >= clock() + timedelta(seconds=60)
    receiver.decide = lambda received: Answer(404, "no_service")
    clock.move(minutes=5)
    send(clock)
    message.refresh_from_db()
    assert (message.state, message.attempts) == ("failed", 2)


def test_message_of_a_killed_worker_is_sent_by_the_next_one(
    receiver: Receiver, monkeypatch: Any
) -> None:
    monkeypatch.setattr("apps.work.queue.RESTART_GRACE", 0.0)
    clock = new_clock()
    result_rule(channels={"slack": receiver.url})
    bad_calls(1, clock)
    (held,) = claim(limit=10, now=clock())  # and never heard of again
    assert claim(limit=10, now=clock()) == []
    Message.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert send(clock) == 1
    assert MESSAGES.lock([held]) == {}
    assert Message.objects.get().state == "sent"


def test_paused_rule_sends_nothing() -> None:
    clock = new_clock()
    rule = result_rule(addresses=["lead@example.com"])
    record(calls(quality_agent(), clock(), [{"overall_score": 1}]))
    run_checks(clock())
    services.pause_rule(rule=rule, by=EVE)
    assert notify_due(clock()) == 0
    services.resume_rule(rule=rule, by=EVE)
    assert notify_due(clock()) == 1


def test_resolving_is_told_in_the_next_batch() -> None:
    clock = new_clock()
    rule = result_rule(addresses=["lead@example.com"])
    bad_calls(1, clock)
    send(clock)
    incidents.resolve(incident=rule.incidents.get(), by=EVE)
    clock.move(minutes=15)
    notify_due(clock())
    send(clock)
    assert subjects()[1] == "[Debrief] Bad calls: resolved"
    assert "Resolved: Resolved by a user." in str(mail.outbox[1].body)


def test_rule_without_recipients_writes_no_message() -> None:
    clock = new_clock()
    result_rule()
    bad_calls(1, clock)
    assert not Message.objects.exists()


def test_urls_of_private_networks_are_rejected(settings: Any) -> None:
    settings.WEBHOOK_ALLOW_PRIVATE_ADDRESSES = False
    with pytest.raises(Exception, match="private"):
        rate_rule(channels={"slack": "http://127.0.0.1:9/x"})
    assert not AlertRule.objects.exists()


def test_bodies_fit_what_chat_programs_take() -> None:
    from apps.alerts.chat_bodies import chat_body

    slack = chat_body("slack", "S" * 300, "<" * 50_000)
    assert len(slack["blocks"][0]["text"]["text"]) == 150
    assert len(slack["blocks"][1]["text"]["text"]) <= 3_000
    teams = chat_body("teams", "S", "x" * 50_000)
    assert len(json.dumps(teams)) < 28_000
