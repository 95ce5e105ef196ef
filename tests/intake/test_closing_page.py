"""Ending a conversation by hand, from the page that says that it has not ended."""

import pytest
from django.contrib.messages import get_messages
from django.test import Client

from apps.accounts.models import AuditEntry, Role, User
from apps.analysis.models import Analysis
from apps.conversations.filters import FilterError, field_named, matching
from apps.conversations.filters.choices import choices_of
from apps.conversations.models import Conversation
from tests.factories import make_agent, make_conversation

pytestmark = pytest.mark.django_db


@pytest.fixture
def thread() -> Conversation:
    return make_conversation(
        make_agent(channel="chat"), status="ongoing", analysis_reason="not_ended"
    )


def path(conversation: Conversation) -> str:
    return f"/conversations/{conversation.public_id}/"


def client_of(role: Role) -> Client:
    client = Client()
    client.force_login(User.objects.create_user(username=f"{role}@tests", role=role))
    return client


def test_the_page_offers_to_close_it(thread: Conversation) -> None:
    text = client_of(Role.OPERATOR).get(path(thread), {"from": "status=ongoing"}).content.decode()
    assert "still in progress. It was opened through the API" in text
    assert f'action="{path(thread)}close/"' in text
    assert 'name="from" value="status=ongoing"' in text
    text = client_of(Role.VIEWER).get(path(thread)).content.decode()
    assert "close/" not in text


def test_closing_asks_for_the_analysis_and_goes_back(thread: Conversation) -> None:
    answer = client_of(Role.OPERATOR).post(f"{path(thread)}close/", {"from": "status=ongoing"})
    assert (answer.status_code, answer["Location"]) == (
        302,
        f"{path(thread)}?from=status%3Dongoing",
    )
    thread.refresh_from_db()
    assert (thread.status, thread.analysis_state) == ("ended", "pending")
    assert Analysis.objects.get().conversation == thread
    assert AuditEntry.objects.get(verb="conversation.closed").target == thread.public_id


def test_one_that_has_ended_stays_as_it_is(thread: Conversation) -> None:
    Conversation.objects.update(status="error")
    answer = client_of(Role.OPERATOR).post(f"{path(thread)}close/")
    assert answer["Location"] == path(thread)
    assert [str(m) for m in get_messages(answer.wsgi_request)] == [
        "This conversation already ended."
    ]
    thread.refresh_from_db()
    assert (thread.status, Analysis.objects.count()) == ("error", 0)


def test_who_may_and_how(thread: Conversation) -> None:
    url = f"{path(thread)}close/"
    assert client_of(Role.VIEWER).post(url).status_code == 403
    operator = client_of(Role.OPERATOR)
    assert operator.get(url).status_code == 405
    assert operator.post("/conversations/conv_none/close/").status_code == 404
    assert Client().post(url)["Location"].startswith("/login/")
    thread.refresh_from_db()
    assert thread.status == "ongoing"


def test_what_was_left_out_leads_to_the_others_and_to_a_backfill() -> None:
    agent = make_agent(post_analysis_enabled=False)
    left = make_conversation(agent, analysis_state="skipped", analysis_reason="disabled")
    query = f"analysis_reason=disabled&amp;agent={agent.public_id}"
    text = client_of(Role.OPERATOR).get(path(left)).content.decode()
    assert f'href="/calls/?{query}"' in text
    assert f"/backfills/new/?channel=voice&amp;{query}" in text
    operator = client_of(Role.ADMIN)
    listed = operator.get("/calls/", {"analysis_reason": "disabled", "agent": agent.public_id})
    assert path(left) in listed.content.decode()
    text = client_of(Role.VIEWER).get(path(left)).content.decode()
    assert "backfills/new" not in text


def test_reasons_are_offered_with_their_counts_and_filter_everywhere() -> None:
    agent = make_agent()
    for reason, many in (("disabled", 2), ("sampled_out", 1)):
        for _ in range(many):
            make_conversation(agent, analysis_state="skipped", analysis_reason=reason)
    viewer = client_of(Role.VIEWER)
    asked = {"channel": "voice", "analysis_reason": "disabled", "edit": "analysis_reason"}
    editor = viewer.get("/filters/edit/", asked)
    assert "automatic analysis is off for this agent" in editor.content.decode()
    field = field_named("analysis_reason", "voice")
    assert field is not None
    counts = {choice.value: choice.count for choice in choices_of(field, "voice")}
    assert (counts["disabled"], counts["sampled_out"]) == (2, 1)
    found = matching(channel="voice", params={"analysis_reason": ["disabled", "sampled_out"]})
    assert found.count() == 3
    with pytest.raises(FilterError):
        matching(channel="voice", params={"analysis_reason": "tired"})
