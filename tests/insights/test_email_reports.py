"""Weekly reports: when they are due, that they are sent once, and their content."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.core import mail as outbox
from django.test import Client
from django.utils import timezone

from apps.accounts.models import Role, User
from apps.conversations.models import Conversation
from apps.insights import mail
from apps.insights.email_reports import next_due
from apps.insights.models import EmailReport
from apps.insights.weekly import last_week, weekly_report
from tests.factories import make_agent, make_conversations, make_email_report

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 23, 8, 0, 30, tzinfo=UTC)  # a Monday


@pytest.fixture(autouse=True)
def utc() -> Iterator[None]:
    with timezone.override("UTC"):
        yield


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", email="ada@example.com", role=Role.EDITOR)


@pytest.mark.parametrize(
    ("zone", "weekday", "hour", "after", "due"),
    [
        ("UTC", 0, 8, "2026-03-23T07:59:00", "2026-03-23T08:00:00"),
        ("UTC", 0, 8, "2026-03-23T08:00:00", "2026-03-30T08:00:00"),
        ("UTC", 6, 23, "2026-03-23T08:00:00", "2026-03-29T23:00:00"),
        # The clock goes from 2 to 3 in the night of that Sunday.
        ("Europe/Berlin", 6, 2, "2026-03-25T08:00:00", "2026-03-29T01:00:00"),
        ("Europe/Berlin", 0, 8, "2026-03-25T08:00:00", "2026-03-30T06:00:00"),
        ("Asia/Kathmandu", 0, 8, "2026-03-25T08:00:00", "2026-03-30T02:15:00"),
    ],
)
def test_next_due_is_an_hour_of_the_time_zone(
    zone: str, weekday: int, hour: int, after: str, due: str
) -> None:
    with timezone.override(ZoneInfo(zone)):
        found = next_due(weekday, hour, after=datetime.fromisoformat(after).replace(tzinfo=UTC))
    assert found.astimezone(UTC).isoformat() == f"{due}+00:00"


def test_due_report_is_sent_once_to_each_recipient(ada: User) -> None:
    gone = User.objects.create_user("gone", email="gone@example.com", is_active=False)
    silent = User.objects.create_user("silent")
    report = make_email_report(due_at=NOW - timedelta(minutes=1), weekday=0, hour=8)
    report.recipients.set([ada, gone, silent])
    assert (mail.send_due(NOW), mail.send_due(NOW)) == (1, 0)
    (sent,) = outbox.outbox
    assert sent.to == ["ada@example.com"]
    assert sent.subject == "[Debrief] Weekly: Mar 16, 2026 – Mar 22, 2026"
    report.refresh_from_db()
    assert report.due_at == datetime(2026, 3, 30, 8, tzinfo=UTC)
    assert (report.sent_at, report.error, report.attempts) == (NOW, "", 0)


def test_second_scheduler_finds_the_report_claimed(ada: User) -> None:
    report = make_email_report(due_at=NOW)
    report.recipients.set([ada])
    EmailReport.objects.filter(pk=report.pk).update(due_at=NOW + mail.RETRY)
    assert mail.send_due(NOW) == 0
    assert not outbox.outbox


def test_failed_mail_is_retried_and_then_waits_a_week(ada: User, settings: object) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"  # type: ignore[attr-defined]
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9  # type: ignore[attr-defined]
    report = make_email_report(due_at=NOW, weekday=0, hour=8)
    report.recipients.set([ada])
    now = NOW
    for attempt in range(1, mail.ATTEMPTS):
        assert mail.send_due(now) == 0
        report.refresh_from_db()
        assert (report.attempts, report.due_at) == (attempt, now + mail.RETRY)
        assert "mail server" in report.error
        now = report.due_at
    assert mail.send_due(now) == 0
    report.refresh_from_db()
    assert (report.attempts, report.due_at) == (0, datetime(2026, 3, 30, 8, tzinfo=UTC))


def test_outdated_filter_is_an_error_of_the_report(ada: User) -> None:
    report = make_email_report(due_at=NOW, filters="nonsense=1")
    report.recipients.set([ada])
    assert mail.send_due(NOW) == 0
    report.refresh_from_db()
    assert "nonsense" in report.error


def _week(successful: int, n: int, day: datetime) -> None:
    agent = make_agent()
    made = make_conversations(agent, n, started_at=day)
    for conversation in made[:successful]:
        Conversation.objects.filter(pk=conversation.pk).update(successful=True)
    Conversation.objects.filter(pk__in=[one.pk for one in made], successful=None).update(
        successful=False
    )
    Conversation.objects.filter(pk__in=[one.pk for one in made]).update(
        analysis_state="succeeded", sort_at=day
    )


def test_report_lists_changes_beyond_chance(ada: User) -> None:
    _week(20, 100, NOW - timedelta(days=10))
    _week(80, 100, NOW - timedelta(days=3))
    weekly = weekly_report(make_email_report(), now=NOW)
    (change,) = [one for one in weekly.highlights if "successful" in one.label.lower()]
    assert (change.before, change.now, change.delta, change.n) == ("20%", "80%", "+60 points", 100)
    assert weekly.volume.coverage.total == weekly.volume.previous == 100
    assert weekly.worst is not None
    assert (len(weekly.worst.conversations), weekly.worst.count) == (5, 20)
    text, html = mail.drawn(weekly)
    assert "+60 points" in text
    assert "+60 points" in html
    assert text.count("/conversations/") == html.count("/conversations/") == 5
    assert "&amp;" not in text


def test_small_difference_is_not_a_change() -> None:
    _week(50, 100, NOW - timedelta(days=10))
    _week(55, 100, NOW - timedelta(days=3))
    assert not weekly_report(make_email_report(), now=NOW).highlights


def test_last_week_ends_yesterday() -> None:
    period = last_week(NOW)
    assert (str(period.first), str(period.last)) == ("2026-03-16", "2026-03-22")


def test_editor_creates_a_report_of_the_filters_of_a_page(client: Client, ada: User) -> None:
    client.force_login(ada)
    body = client.get("/insights/reports/new/?channel=voice&days=7&call_successful=false")
    assert 'value="call_successful=false"' in body.content.decode()
    form = {
        "name": "Bad calls",
        "weekday": "1",
        "hour": "9",
        "channel": "voice",
        "filters": "call_successful=false",
        "recipients": [ada.pk],
    }
    assert client.post("/insights/reports/new/", form)["Location"] == "/insights/reports/"
    report = EmailReport.objects.get()
    assert (report.filters, report.time) == ("call_successful=false", "Tuesdays at 09:00")
    assert report.site_url == "http://testserver/"
    refused = client.post("/insights/reports/new/", {**form, "filters": "nonsense=1"})
    assert refused.status_code == 200
    assert EmailReport.objects.count() == 1


def test_without_addresses_the_form_says_where_to_add_them(client: Client, ada: User) -> None:
    User.objects.update(email="")
    client.force_login(ada)
    page = client.get("/insights/reports/new/").text
    assert "sent to no one" in page
    assert 'name="recipients"' not in page


def test_member_switches_own_subscription_and_sends_a_test(client: Client, ada: User) -> None:
    client.force_login(ada)
    report = make_email_report()
    url = f"/insights/reports/{report.public_id}/"
    client.post(f"{url}switch/", {"on": "1"})
    assert list(report.recipients.all()) == [ada]
    client.post(f"{url}test/")
    assert [sent.to for sent in outbox.outbox] == [["ada@example.com"]]
    assert "http://testserver/insights/reports/" in outbox.outbox[0].body
    client.post(f"{url}switch/", {"on": "0"})
    assert not report.recipients.exists()
    page = client.get(url).content.decode()
    assert re.search("No change|Largest changes", page)
    client.post(f"{url}delete/")
    assert not EmailReport.objects.exists()
