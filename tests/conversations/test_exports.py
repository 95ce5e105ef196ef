"""Exports in the background: interrupted, canceled, erased, and seen by whom."""

import csv
import io
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.http import QueryDict
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.accounts.actors import Actor
from apps.accounts.models import User
from apps.conversations import exports
from apps.conversations.models import Conversation, Export, ExportPart
from apps.privacy.erasure import erase
from tests.factories import make_draft, make_indexed_conversation

pytestmark = pytest.mark.django_db

BY = Actor.system("test")
Start = Callable[..., Export]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make parts of two rows, and more than three rows large."""
    monkeypatch.setattr(exports, "PART", 2)
    monkeypatch.setattr(exports, "DIRECT_ROWS", 3)


@pytest.fixture
def calls() -> list[Conversation]:
    version = make_draft(properties={"topic": {"type": "string"}})
    return [
        make_indexed_conversation(
            version,
            external_id=f"call-{number}",
            duration_ms=number,
            analysis_data={"topic": "=cmd()"},
            metadata={"plan": "pro"},
        )
        for number in range(5)
    ]


@pytest.fixture
def otto() -> User:
    return User.objects.create_user("otto", password="x", role="operator")


@pytest.fixture
def start(otto: User) -> Start:
    def started(query: str = "sort=duration_ms", **values: Any) -> Export:
        asked: dict[str, Any] = {"channel": "voice", "everything": False, "owner": otto, "by": BY}
        return exports.start(params=QueryDict(query), **{**asked, **values})

    return started


def rows_of(export: Export) -> list[dict[str, str]]:
    text = b"".join(exports.chunks_of(export)).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_parts_are_one_file(calls: list[Conversation], start: Start) -> None:
    export = start("sort=-duration_ms&columns=external_id,analysis.topic,metadata.plan")
    assert (export.rows_total, export.state) == (5, "running")
    exports.write(export.pk)
    export.refresh_from_db()
    assert (export.state, export.rows_done, export.parts_done) == ("done", 5, 3)
    rows = rows_of(export)
    assert [row["external_id"] for row in rows] == [f"call-{n}" for n in (4, 3, 2, 1, 0)]
    assert {row["analysis.topic"] for row in rows} == {"'=cmd()"}
    assert {row["metadata.plan"] for row in rows} == {"pro"}


def test_all_fields_are_those_of_a_direct_export(
    calls: list[Conversation], start: Start, otto: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = start(everything=True)
    exports.write(export.pk)
    monkeypatch.setattr(exports, "DIRECT_ROWS", 100)
    url = f"{reverse('conversations:export')}?channel=voice&sort=duration_ms&content=everything"
    direct = signed_in(otto).get(url)
    assert direct.getvalue() == b"".join(exports.chunks_of(export))


def test_an_interrupted_export_resumes(
    calls: list[Conversation], start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = start()
    assert exports._write_part(export.pk)  # and the worker is killed
    sent: list[int] = []
    monkeypatch.setattr(exports, "enqueue", lambda _, pk: sent.append(pk))
    exports.sweep()
    assert sent == []
    Export.objects.update(touched_at=timezone.now() - exports.STALLED)
    exports.sweep()
    assert sent == [export.pk]
    make_indexed_conversation(calls[0].agent_version, external_id="later", duration_ms=99)
    exports.write(export.pk)
    export.refresh_from_db()
    assert [row["duration_ms"] for row in rows_of(export)] == ["0", "1", "2", "3", "4"]


def test_an_export_that_stops_each_time_fails(calls: list[Conversation], start: Start) -> None:
    export = start()
    for _ in range(exports.MAX_ATTEMPTS):
        Export.objects.update(touched_at=timezone.now() - exports.STALLED)
        exports.sweep()
        exports.sweep()  # of a second scheduler: still the same attempt
    export.refresh_from_db()
    assert (export.state, export.attempts) == ("running", exports.MAX_ATTEMPTS)
    Export.objects.update(touched_at=timezone.now() - exports.STALLED)
    exports.sweep()
    export.refresh_from_db()
    assert (export.state, bool(export.message)) == ("failed", True)


def test_a_wake_up_that_comes_often_is_no_attempt(
    calls: list[Conversation], start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    export = start()
    monkeypatch.setattr(exports, "PARTS_PER_TASK", 0)  # workers that have not come to a part yet
    for _ in range(3 * exports.MAX_ATTEMPTS):
        exports.write(export.pk)
    export.refresh_from_db()
    assert (export.state, export.attempts) == ("running", 0)


def test_a_filter_that_is_gone_fails_the_export_with_its_message(
    calls: list[Conversation], start: Start
) -> None:
    export = start()
    Export.objects.update(query="analysis.gone=1")
    exports.write(export.pk)
    export.refresh_from_db()
    assert export.state == "failed"
    assert "gone" in export.message


def test_an_erasure_deletes_files_and_begins_running_exports_again(
    calls: list[Conversation], start: Start
) -> None:
    done, running = start(), start("sort=-duration_ms")
    exports.write(done.pk)
    exports._write_part(running.pk)
    erase(conversations=Conversation.objects.filter(pk=calls[4].pk), by=BY, why="test")
    assert not ExportPart.objects.exists()
    done.refresh_from_db()
    assert (done.state, done.query) == ("erased", "")
    exports.write(running.pk)
    running.refresh_from_db()
    assert [row["duration_ms"] for row in rows_of(running)] == ["3", "2", "1", "0"]


def test_old_exports_are_deleted(calls: list[Conversation], start: Start) -> None:
    export = start()
    exports.write(export.pk)
    Export.objects.update(created_at=timezone.now() - exports.KEPT - timedelta(seconds=1))
    exports.sweep()
    assert not Export.objects.exists()
    assert not ExportPart.objects.exists()


def test_many_rows_are_asked_about_and_started_once(calls: list[Conversation], otto: User) -> None:
    client = signed_in(otto)
    page = client.get(f"{reverse('conversations:export')}?channel=voice&sort=duration_ms")
    assert page["Location"].startswith(reverse("conversations:export_new"))
    asked = client.get(page["Location"])
    assert "Export 5" in " ".join(asked.content.decode().split())
    assert not Export.objects.exists()
    for _ in range(2):
        client.post(page["Location"])
    export = Export.objects.get()
    assert export.query == "sort=duration_ms"
    few = client.get(f"{reverse('conversations:export')}?channel=voice&duration_ms__lt=2")
    assert few["Content-Disposition"].startswith("attachment")


def test_files_are_for_who_asked_and_admins(
    calls: list[Conversation], start: Start, otto: User
) -> None:
    export = start()
    exports.write(export.pk)
    url = reverse("conversations:export_file", args=[export.public_id])
    other = User.objects.create_user("olga", password="x", role="editor")
    admin = User.objects.create_user("ada", password="x", role="admin")
    for user, status in ((otto, 200), (other, 404), (admin, 200)):
        client = signed_in(user)
        assert client.get(url).status_code == status
        listed = url in client.get(reverse("conversations:exports")).content.decode()
        assert listed == (status == 200)


def test_a_running_export_is_canceled(calls: list[Conversation], start: Start, otto: User) -> None:
    export = start()
    exports._write_part(export.pk)
    client = signed_in(otto)
    page = client.get(reverse("conversations:exports")).content.decode()
    assert 'hx-trigger="every 2s"' in page
    assert (
        client.get(reverse("conversations:export_file", args=[export.public_id])).status_code == 404
    )
    client.post(reverse("conversations:export_cancel", args=[export.public_id]))
    export.refresh_from_db()
    assert export.state == "canceled"
    assert not ExportPart.objects.exists()
    exports.write(export.pk)
    export.refresh_from_db()
    assert export.state == "canceled"
