"""Stopped connections, changes that wait for approval, and what a deletion names."""

from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import Role, User
from apps.crm.models import DisabledCause, Push, PushKind, PushState
from tests.factories import make_agent, make_contact, make_conversation
from tests.factories.crm import make_connection, make_push

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}
STOPPED: dict[str, Any] = {
    "disabled_at": timezone.now(),
    "disabled_cause": DisabledCause.REJECTED,
    "disabled_reason": "HubSpot rejected the access token.",
}


@pytest.fixture
def admin(client: Client) -> Client:
    client.force_login(User.objects.create_user("boss", role=Role.ADMIN))
    return client


def waiting(number: int) -> list[Push]:
    connection = make_connection()
    return [
        make_push(
            connection=connection,
            contact=make_contact(email=f"p{i}@example.com"),
            state=PushState.WAITING,
            wanted={"email": f"p{i}@example.com"},
        )
        for i in range(number)
    ]


def test_admins_see_a_rejected_connection_on_every_page(admin: Client) -> None:
    assert "hidden" in admin.get("/crm/banner/", headers=HTMX).text
    stopped = make_connection(name="Our HubSpot", **STOPPED)

    banner = admin.get("/crm/banner/", headers=HTMX).text

    assert "Our HubSpot" in banner
    assert "HubSpot rejected the access token." in banner
    assert f'href="/crm/{stopped.public_id}/"' in banner
    assert "/crm/banner/" in admin.get("/calls/").text


def test_a_connection_that_a_person_disabled_is_no_notice(admin: Client) -> None:
    make_connection(**{**STOPPED, "disabled_cause": DisabledCause.PERSON})

    assert "hidden" in admin.get("/crm/banner/", headers=HTMX).text


def test_others_do_not_see_a_rejected_connection(client: Client) -> None:
    client.force_login(User.objects.create_user("eve", role=Role.EDITOR))

    assert "/crm/banner/" not in client.get("/calls/").text


def test_reject_all_drops_the_changes_that_were_shown(admin: Client) -> None:
    first, second, later = waiting(3)
    shown = [f"{one.public_id}:{one.revision}" for one in (first, second)]
    url = f"/crm/{first.connection.public_id}/approval/"

    page = admin.post(url, {"action": "reject_all", "shown": shown}, follow=True).text

    assert "2 contacts rejected." in page
    states = dict(Push.objects.values_list("pk", "state"))
    assert states == {first.pk: "dropped", second.pk: "dropped", later.pk: "waiting_for_approval"}


def test_changes_that_wait_are_shown_page_by_page(
    admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.crm.views.pushes.APPROVALS", 2)
    pushes = waiting(3)
    url = f"/crm/{pushes[0].connection.public_id}/approval/"

    first = admin.get(url)
    second = admin.get(url, {"cursor": first.context["page"].next_cursor})

    assert "Reject all 2 shown" in first.text
    assert "3 contacts wait in all" in first.text
    assert [one.pk for one, _ in second.context["shown"]] == [pushes[2].pk]
    assert admin.get(url, {"cursor": "nonsense"})["Location"] == url


def test_deleting_a_connection_names_its_activities(admin: Client) -> None:
    push = make_push(state=PushState.SENT, finished_at=timezone.now())
    make_push(
        connection=push.connection,
        contact=push.contact,
        kind=PushKind.ACTIVITY,
        conversation=make_conversation(make_agent()),
        state=PushState.SENT,
        finished_at=timezone.now(),
    )

    page = admin.get(f"/crm/{push.connection.public_id}/delete/").text

    assert "2 pushes" in page
    assert "1 of them logged conversation" in " ".join(page.split())
    assert "Records and activities in the CRM stay" in page
