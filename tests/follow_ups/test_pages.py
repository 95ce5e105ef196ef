"""The pages of follow-ups, with and without script."""

import json
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import Role, User
from apps.conversations.models import Conversation
from apps.follow_ups.models import FollowUp
from tests.factories import (
    client_as,
    make_agent,
    make_conversation,
    make_conversations,
    make_follow_up,
)

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}


@pytest.fixture
def operator() -> Client:
    return client_as(Role.OPERATOR)


def text(client: Client, url: str) -> str:
    return client.get(url).content.decode()


def toast(response: Any) -> dict[str, str]:
    found = json.loads(response.headers["HX-Trigger"])
    assert "follow_ups:changed" in found
    return dict(found["toast"])


class TestQueue:
    def test_it_says_what_it_is_for_while_it_is_empty(self, operator: Client) -> None:
        assert "No follow-ups yet" in text(operator, "/follow-ups/")
        make_follow_up(done_at=timezone.now())
        assert "All done" in text(operator, "/follow-ups/")
        assert "Nothing overdue" in text(operator, "/follow-ups/?view=overdue")

    def test_a_row_shows_reason_change_owner_and_due_time(self, operator: Client) -> None:
        conversation = make_conversation(
            make_agent(name="Billing line"), analysis_data={"follow_up_needed": False}
        )
        make_follow_up(
            conversation,
            reason="Refund <b>promised</b>",
            values={"follow_up_needed": True},
            due_at=timezone.now() - timedelta(hours=2, minutes=1),
        )
        page = text(operator, "/follow-ups/")
        assert "Refund &lt;b&gt;promised&lt;/b&gt;" in page
        assert "follow_up_needed: Yes → No" in page
        assert "2h ago" in page
        assert "Billing line" in page
        assert "Take" in page

    def test_viewers_read_and_are_offered_nothing(self) -> None:
        make_follow_up(reason="Call back")
        page = text(client_as(Role.VIEWER), "/follow-ups/")
        assert "Call back" in page
        assert "hx-post" not in page
        assert "data-select-row" not in page

    def test_an_unknown_filter_is_said_at_its_place(self, operator: Client) -> None:
        page = operator.get("/follow-ups/?view=sometime", headers=HTMX)
        assert page.status_code == 200
        assert "sometime" in page.text

    @pytest.mark.parametrize("how_many", [1, 50])
    def test_the_number_of_queries_does_not_grow(
        self, operator: Client, django_assert_max_num_queries: Any, how_many: int
    ) -> None:
        agent = make_agent()
        for conversation in make_conversations(agent, how_many):
            make_follow_up(conversation)
        operator.get("/follow-ups/")
        with django_assert_max_num_queries(6):
            operator.get("/follow-ups/")

    def test_it_pages(self, operator: Client) -> None:
        for conversation in make_conversations(make_agent(), 53):
            make_follow_up(conversation)
        first = operator.get("/follow-ups/")
        assert first.content.decode().count("data-select-row") == 50
        (cursor,) = [first.context["page"].next_cursor]
        second = text(operator, f"/follow-ups/?{urlencode({'cursor': cursor})}")
        assert second.count("data-select-row") == 3
        assert "cursor belongs" in text(
            operator, f"/follow-ups/?{urlencode({'cursor': cursor, 'sort': '-created_at'})}"
        )

    def test_the_navigation_counts_those_that_wait_for_the_reader(self, operator: Client) -> None:
        assert 'hx-get="/follow-ups/count/"' in text(operator, "/calls/")
        user = User.objects.get(role="operator")
        make_follow_up(owner=user)
        make_follow_up()
        make_follow_up(owner=User.objects.create_user("grace", role="operator"))
        count = text(operator, "/follow-ups/count/")
        assert ">2</span>" in count
        assert "1 yours, 1 unassigned" in count


class TestAdding:
    def test_a_conversation_is_added_by_hand(self, operator: Client) -> None:
        conversation = make_conversation(make_agent())
        here = f"/follow-ups/new/?channel=voice&id={conversation.public_id}"
        assert here.replace("&", "&amp;") in text(
            operator, f"/conversations/{conversation.public_id}/"
        )
        assert "Add a follow-up" in operator.get(here, headers=HTMX).text
        owner = User.objects.create_user("grace", role="operator")

        response = operator.post(
            here,
            {"reason": "Call back", "owner": "grace", "due": "2031-03-02", "note": "After 4 PM"},
            headers=HTMX,
        )

        assert toast(response)["text"] == "Follow-up added."
        row = FollowUp.objects.get()
        assert (row.reason, row.owner, row.note) == ("Call back", owner, "After 4 PM")
        assert row.due_at is not None
        assert f"{timezone.localtime(row.due_at):%Y-%m-%d %H:%M:%S}" == "2031-03-02 23:59:59"
        page = text(operator, f"/conversations/{conversation.public_id}/")
        assert "Call back" in page
        again = operator.get(here, headers=HTMX).text
        assert "in the follow-up queue already" in again

    def test_selected_rows_are_added_and_open_ones_left_out(self, operator: Client) -> None:
        conversations = make_conversations(make_agent(), 3)
        make_follow_up(conversations[0])
        ids = "&".join(f"id={c.public_id}" for c in conversations)
        way: Any = operator.get(f"/conversations-selected/?channel=voice&to=follow_up&{ids}")
        dialog = operator.get(way.url, headers=HTMX).text
        assert "Add 2 follow-ups" in " ".join(dialog.split())
        response = operator.post(way.url, {"reason": "Refund"}, headers=HTMX)
        assert toast(response)["text"] == "2 follow-ups added. 1 already had one."
        assert FollowUp.objects.open().count() == 3

    def test_all_that_match_are_added_by_their_filter(self, operator: Client) -> None:
        make_conversations(make_agent(), 2)
        query = urlencode({"query": "call_successful__isset=false", "all_matching": "1"})
        way: Any = operator.get(f"/conversations-selected/?channel=voice&to=follow_up&{query}")
        operator.post(way.url, {}, headers=HTMX)
        assert FollowUp.objects.count() == Conversation.objects.count() == 2

    @pytest.mark.parametrize(
        ("query", "status"),
        [
            ("channel=voice", 404),
            ("id=x", 404),
            ("channel=voice&id=conv_x", 404),
            ("channel=voice&nonsense=1", 400),
        ],
    )
    def test_nothing_selected_is_never_everything(
        self, operator: Client, query: str, status: int
    ) -> None:
        make_conversation(make_agent())
        assert operator.post(f"/follow-ups/new/?{query}", {}).status_code == status
        assert not FollowUp.objects.exists()

    def test_an_invalid_form_keeps_what_was_typed(self, operator: Client) -> None:
        conversation = make_conversation(make_agent())
        here = f"/follow-ups/new/?channel=voice&id={conversation.public_id}"
        response = operator.post(here, {"reason": "Kept", "due": "soon"}, headers=HTMX)
        assert response.status_code == 200
        assert "Kept" in response.text
        assert "errorlist" in response.text


class TestChanging:
    def test_taken_once(self, operator: Client) -> None:
        row = make_follow_up()
        url = f"/follow-ups/{row.public_id}/take/"
        assert toast(operator.post(url, headers=HTMX))["text"] == "Follow-up assigned to you."
        other = client_as(Role.EDITOR).post(url, headers=HTMX)
        assert toast(other)["kind"] == "warn"
        assert "already took" in toast(other)["text"]

    def test_done_can_be_undone(self, operator: Client) -> None:
        row = make_follow_up()
        done = toast(operator.post(f"/follow-ups/{row.public_id}/done/", headers=HTMX))
        assert done["undo"] == f"/follow-ups/{row.public_id}/reopen/"
        again = toast(operator.post(f"/follow-ups/{row.public_id}/done/", headers=HTMX))
        assert "already finished" in again["text"]
        assert "Reopen" in text(operator, "/follow-ups/?view=done")
        assert toast(operator.post(done["undo"], headers=HTMX))["text"] == "Follow-up reopened."
        row.refresh_from_db()
        assert row.is_open

    def test_without_script_it_leads_back(self, operator: Client) -> None:
        row = make_follow_up()
        back = "/follow-ups/?view=unassigned"
        done = operator.post(f"/follow-ups/{row.public_id}/done/", {"next": back})
        assert (done.status_code, done.headers["Location"]) == (302, back)
        away = operator.post(
            f"/follow-ups/{row.public_id}/reopen/", {"next": "https://example.com/"}
        )
        assert away.headers["Location"] == "/follow-ups/"

    def test_the_second_editor_sees_a_message_and_may_replace(self, operator: Client) -> None:
        row = make_follow_up(due_at=timezone.now())
        url = f"/follow-ups/{row.public_id}/edit/"
        day = timezone.localtime(row.due_at).date().isoformat()
        assert f'value="{day}"' in operator.get(url, headers=HTMX).text
        entered = {"reason": "Call back", "due": day, "version": "1"}
        operator.post(url, entered | {"note": "First"}, headers=HTMX)
        late = operator.post(url, entered | {"note": "Second"}, headers=HTMX)
        assert "Someone else changed this follow-up" in late.text
        assert "Second" in late.text
        assert 'name="version" value="2"' in late.text
        before = row.due_at
        row.refresh_from_db()
        assert (row.note, row.due_at) == ("First", before)
        operator.post(url, entered | {"note": "Second", "version": "2"}, headers=HTMX)
        row.refresh_from_db()
        assert row.note == "Second"

    def test_many_at_once(self, operator: Client) -> None:
        rows = [make_follow_up() for _ in range(3)]
        some = {"id": [row.public_id for row in rows[:2]]}
        grace = User.objects.create_user("grace", role="operator")
        assign = f"/follow-ups/assign/?{urlencode(some, doseq=True)}"
        assert "Assign 2 follow-ups" in " ".join(operator.get(assign, headers=HTMX).text.split())
        operator.post(assign, {"owner": "grace", "due": "2031-03-02"}, headers=HTMX)
        assert FollowUp.objects.filter(owner=grace, due_at__isnull=False).count() == 2

        done = operator.post("/follow-ups/selected/", some | {"to": "done"}, headers=HTMX)
        assert toast(done)["text"] == "2 follow-ups done."
        back = operator.post("/follow-ups/selected/", some | {"to": "reopen"}, headers=HTMX)
        assert toast(back)["text"] == "2 follow-ups reopened."
        way = operator.post("/follow-ups/selected/", some | {"to": "assign"})
        assert way.headers["Location"] == assign
        assert operator.post("/follow-ups/selected/", {"to": "done"}).status_code == 404
