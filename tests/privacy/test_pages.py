"""The dialog that says in numbers what will go, and what a retention setting would do."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.actors import Actor
from apps.accounts.models import AuditEntry, Role, User
from apps.agents.models import Agent
from apps.agents.services import publish, save_draft
from apps.agents.services.errors import InvalidDraft
from apps.analysis.services import request_rerun
from apps.contacts.models import Contact
from apps.conversations.models import Conversation
from apps.privacy import views
from tests.factories import (
    make_agent,
    make_conversation,
    make_conversations,
    make_delivery,
    make_event,
)

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}
NOW = timezone.now()
Queries = Callable[[int], Any]


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(User.objects.create_user("ada", role=Role.ADMIN))
    return client


@pytest.fixture
def agent() -> Agent:
    return make_agent(name="Billing line")


def url(conversation: Conversation) -> str:
    return f"/conversations/{conversation.public_id}/erase/"


def text(response: Any) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", response.content.decode()).split())


def confirmed(how_many: int = 1, word: str = "erase") -> dict[str, Any]:
    return {"shown": how_many, "word": word}


class TestOneConversation:
    def test_the_dialog_says_in_numbers_what_will_go(self, admin: Client, agent: Agent) -> None:
        contact = Contact.objects.create(email="ada@example.com")
        conversation = make_conversation(agent, contact=contact)
        request_rerun(conversation=conversation, by=Actor.system("tests"))
        make_delivery(event=make_event(conversation=conversation))
        page = admin.get(url(conversation))
        said = text(admin.get(url(conversation), headers=HTMX))
        assert b"<html" in page.content
        assert "3 messages transcript, metadata, search" in said
        assert "1 analysis results and raw responses, 1 in progress will be stopped" in said
        assert "1 delivery 1 pending, won’t be sent" in said
        assert "0 payloads" in said
        assert "1 contact with no other conversations" in said
        assert Conversation.objects.exists()

    @pytest.mark.parametrize("headers", [{}, HTMX])
    def test_it_is_erased_once_confirmed(
        self, admin: Client, agent: Agent, headers: dict[str, str]
    ) -> None:
        conversation = make_conversation(agent)
        gone = admin.post(url(conversation), confirmed(), headers=headers)
        assert (gone.get("HX-Redirect") or gone.get("Location")) == "/calls/"
        assert not Conversation.objects.exists()
        assert AuditEntry.objects.get(verb="conversation.erased").detail == {"why": "on its page"}
        assert "1 call erased." in text(admin.get("/calls/"))
        assert admin.post(url(conversation), confirmed()).status_code == 404

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            ({"shown": 1}, "This field is required."),
            (confirmed(word="yes"), "Type “erase” exactly to confirm."),
            (confirmed(7), "The number of matching conversations changed from 7 to 1."),
        ],
    )
    def test_nothing_goes_without_the_word(
        self, admin: Client, agent: Agent, data: dict[str, Any], reason: str
    ) -> None:
        conversation = make_conversation(agent)
        refused = admin.post(url(conversation), data, headers=HTMX)
        assert refused.status_code == 200
        assert reason in text(refused)
        assert Conversation.objects.exists()

    def test_the_figures_take_a_fixed_number_of_queries(
        self, admin: Client, agent: Agent, django_assert_num_queries: Queries
    ) -> None:
        conversation = make_conversation(agent)
        admin.get(url(conversation))
        with django_assert_num_queries(10):
            admin.get(url(conversation), headers=HTMX)

    def test_the_button_is_for_admins(self, admin: Client, agent: Agent) -> None:
        conversation = make_conversation(agent)
        page = f"/conversations/{conversation.public_id}/?tab=details"
        assert url(conversation) in admin.get(page).content.decode()
        other = Client()
        other.force_login(User.objects.create_user("bo", role=Role.EDITOR))
        assert url(conversation) not in other.get(page).content.decode()
        assert other.post(url(conversation), confirmed()).status_code == 403


class TestASelection:
    def test_ticked_rows_lead_to_the_dialog_and_go(self, admin: Client, agent: Agent) -> None:
        first, second, stays = make_conversations(agent, 3)
        ids = f"id={first.public_id}&id={second.public_id}"
        way = admin.get(f"/conversations-selected/?channel=voice&to=erase&{ids}")
        assert way["Location"] == f"/conversations/erase/?channel=voice&{ids}"
        assert "Erase 2 calls?" in text(admin.get(way["Location"], headers=HTMX))
        admin.post(way["Location"], confirmed(2))
        assert list(Conversation.objects.all()) == [stays]

    def test_all_that_match_a_filter_as_many_as_were_shown(
        self, admin: Client, agent: Agent
    ) -> None:
        make_conversations(agent, 3, language="fr")
        make_conversation(agent, language="en")
        here = "/conversations/erase/?channel=voice&language=fr&sort=-started_at"
        assert "changed from 2 to 3" in text(admin.post(here, confirmed(2), headers=HTMX))
        gone = admin.post(here, confirmed(3), headers=HTMX)
        assert gone["HX-Redirect"] == "/calls/?language=fr&sort=-started_at"
        assert [c.language for c in Conversation.objects.all()] == ["en"]

    @pytest.mark.parametrize(
        ("query", "status"),
        [
            ("channel=voice", 404),  # never “all rows”
            ("channel=mail&language=fr", 404),
            ("language=fr", 404),
            ("channel=voice&nonsense=1", 400),
            ("channel=voice&language=xx", 404),
        ],
    )
    def test_what_is_not_a_selection_erases_nothing(
        self, admin: Client, agent: Agent, query: str, status: int
    ) -> None:
        make_conversation(agent)
        here = f"/conversations/erase/?{query}"
        assert admin.post(here, confirmed(), headers=HTMX).status_code == status
        assert Conversation.objects.exists()

    def test_too_many_are_left_to_the_retention_setting(
        self, admin: Client, agent: Agent, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(views, "AT_ONCE", 2)
        make_conversations(agent, 3, language="fr")
        here = "/conversations/erase/?channel=voice&language=fr"
        refused = admin.post(here, confirmed(3), headers=HTMX)
        assert "Too many conversations." in text(refused)
        assert Conversation.objects.count() == 3


class TestTheRetentionSetting:
    def keep(self, agent: Agent, days: int | None, role: Role = Role.ADMIN) -> None:
        by = Actor("Ada", role)
        save_draft(agent=agent, changes={"post_analysis": {"retention_days": days}}, by=by)

    def note(self, client: Client, agent: Agent, days: str) -> str:
        return text(client.get(f"/agents/{agent.public_id}/retention/?retention_days={days}"))

    def test_it_is_saved_on_the_tab_by_an_admin(self, admin: Client, agent: Agent) -> None:
        page = f"/agents/{agent.public_id}/post-analysis/"
        html = admin.get(page).content.decode()
        stamp = dict(re.findall(r'name="(base_version|base)" value="(\d+)"', html))
        data = {
            **stamp,
            "enabled": "on",
            "sample_percent": "100",
            "min_seconds": "0",
            "min_messages": "0",
            "long_transcript": "refuse",
            "retention_days": "30",
        }
        admin.post(page, data)
        assert agent.versions.drafts().get().retention_days == 30
        logged = AuditEntry.objects.filter(verb="agent.draft_saved").latest("pk")
        assert logged.detail["what"] == "1 setting changed"

    def test_other_roles_cannot_erase_by_a_setting(self, agent: Agent) -> None:
        with pytest.raises(InvalidDraft) as refused:
            self.keep(agent, 30, Role.EDITOR)
        assert "Only admins" in str(refused.value.faults[0].message)

    @pytest.mark.parametrize("days", [0, -1, 36_501, "many", 1.5, True])
    def test_days_are_whole_and_at_least_one(self, agent: Agent, days: Any) -> None:
        with pytest.raises(InvalidDraft):
            self.keep(agent, days)

    def test_the_note_counts_what_would_go(self, admin: Client, agent: Agent) -> None:
        old = NOW - timedelta(days=40)
        make_conversations(agent, 3, started_at=old, ended_at=old, sort_at=old)
        make_conversation(agent)
        assert "3 calls are older than 30 days today." in self.note(admin, agent, "30")
        assert "because no version is published yet" in self.note(admin, agent, "30")
        assert "No calls are older than 50 days today." in self.note(admin, agent, "50")
        assert "Calls stay indefinitely." in self.note(admin, agent, "")
        assert "From 1 to 36,500 days." in self.note(admin, agent, "0")
        publish(agent=agent, by=Actor("Ada", Role.ADMIN))
        assert "within an hour of publishing this draft" in self.note(admin, agent, "30")
        self.keep(agent, 30)
        publish(agent=agent, by=Actor("Ada", Role.ADMIN))
        assert "keeps calls for 30 days until this draft" in self.note(admin, agent, "")
        assert "be erased within the hour. After that, calls" in self.note(admin, agent, "30")
