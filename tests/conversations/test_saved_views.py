"""Saved views: what they keep, who sees and changes them, and two people at once."""

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.html import escape

from apps.accounts.models import AuditEntry, User
from apps.conversations.models import SavedView

pytestmark = pytest.mark.django_db

LIST = "conversations:saved_views"
NEW = "conversations:saved_view_new"
EDIT = "conversations:saved_view_edit"
DELETE = "conversations:saved_view_delete"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def vera() -> User:
    return User.objects.create_user("vera", password="x", role="viewer")


@pytest.fixture
def otto() -> User:
    return User.objects.create_user("otto", password="x", role="editor")


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", password="x", role="admin")


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def saved(owner: User, name: str = "Ended", **values: object) -> SavedView:
    defaults = {"channel": "voice", "query": "status=ended"}
    return SavedView.objects.create(owner=owner, name=name, **{**defaults, **values})


def test_a_page_is_saved_and_opened_again(vera: User) -> None:
    client = signed_in(vera)
    query = "any1.status=ended&any1.direction=inbound&columns=id&sort=-duration_ms&cursor=x"
    url = f"{reverse(NEW)}?channel=voice&query={query.replace('&', '%26').replace('=', '%3D')}"
    form = client.get(url).context["form"]
    response = client.post(url, {"name": " Mine ", "query": form["query"].value()})
    view = SavedView.objects.get()
    assert (view.name, view.owner, view.shared) == ("Mine", vera, False)
    assert view.query == query.removesuffix("&cursor=x")
    assert response["Location"] == f"{reverse('conversations:calls')}?{view.query}"
    assert client.get(response["Location"]).status_code == 200
    page = client.get(f"{reverse(LIST)}?channel=voice").content.decode()
    assert escape(view.query) in page
    assert AuditEntry.objects.filter(verb="view.saved", target=view.public_id).exists()


def test_a_dialog_says_so_and_the_menu_loads_again(vera: User) -> None:
    client = signed_in(vera)
    response = client.post(f"{reverse(NEW)}?channel=chat", {"name": "All"}, headers=HTMX)
    assert response.status_code == 204
    assert "saved_views:changed" in response["HX-Trigger"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": ""}, "Enter a name."),
        ({"name": "ENDED"}, "You already have a view with this name."),
        ({"name": "x" * 61}, "at most 60 characters"),
        ({"name": "New", "query": "color=red"}, "Unknown filter “color”."),
        ({"name": "New", "query": f"q={'x' * 10_001}"}, "too long for a view"),
    ],
)
def test_a_wrong_view_is_refused_and_keeps_the_input(
    vera: User, values: dict[str, str], message: str
) -> None:
    saved(vera)
    page = signed_in(vera).post(f"{reverse(NEW)}?channel=voice", values)
    assert page.status_code == 200
    assert message in page.content.decode()
    assert SavedView.objects.count() == 1
    assert page.context["form"]["name"].value() == values["name"]


def test_names_are_unique_for_each_owner_and_channel(vera: User, otto: User) -> None:
    saved(vera)
    for user, channel in ((vera, "chat"), (otto, "voice")):
        signed_in(user).post(f"{reverse(NEW)}?channel={channel}", {"name": "ended"})
    assert SavedView.objects.count() == 3


def test_personal_views_are_seen_by_their_owner_only(vera: User, otto: User, ada: User) -> None:
    private, shared = saved(vera, "Private one"), saved(vera, "Shared one", shared=True)
    for user, sees in ((vera, True), (otto, False), (ada, False)):
        page = signed_in(user).get(f"{reverse(LIST)}?channel=voice").content.decode()
        assert ("Private one" in page) == sees
        assert "Shared one" in page
    for user, status in ((vera, 200), (otto, 403), (ada, 200)):
        assert signed_in(user).get(reverse(EDIT, args=[shared.public_id])).status_code == status
    for user, status in ((vera, 200), (otto, 404), (ada, 404)):
        assert signed_in(user).get(reverse(EDIT, args=[private.public_id])).status_code == status
    assert signed_in(otto).post(reverse(DELETE, args=[shared.public_id])).status_code == 403


def test_a_view_takes_the_filters_of_the_page_only_where_asked(vera: User) -> None:
    client, view = signed_in(vera), saved(vera)
    url = f"{reverse(EDIT, args=[view.public_id])}?query=status%3Derror"
    form = client.get(url).context["form"]
    values = {"name": "Failed", "shared": "on", "query": form["query"].value(), "revision": "1"}
    client.post(url, values)
    view.refresh_from_db()
    assert (view.name, view.shared, view.query, view.revision) == (
        "Failed",
        True,
        "status=ended",
        2,
    )
    client.post(url, {**values, "replace": "on", "revision": "2"})
    view.refresh_from_db()
    assert view.query == "status=error"


def test_who_saves_second_is_told_of_the_first(vera: User, ada: User) -> None:
    view = saved(vera, shared=True)
    url = reverse(EDIT, args=[view.public_id])
    owner, admin = signed_in(vera), signed_in(ada)
    owner.post(url, {"name": "By Vera", "shared": "on", "revision": "1"})
    page = admin.post(url, {"name": "By Ada", "shared": "on", "revision": "1"})
    assert "Someone else has changed this view" in page.content.decode()
    view.refresh_from_db()
    assert view.name == "By Vera"
    form = page.context["form"]
    assert (form["name"].value(), form["revision"].value()) == ("By Ada", "2")
    admin.post(url, {"name": "By Ada", "shared": "on", "revision": "2"})
    view.refresh_from_db()
    assert view.name == "By Ada"


def test_a_view_of_a_removed_field_tells_and_loses_nothing(vera: User) -> None:
    view = saved(vera, query="analysis.gone=1&status=ended")
    client = signed_in(vera)
    page = client.get(f"{reverse('conversations:calls')}?{view.query}").content.decode()
    assert "No agent has a field named “gone”." in page
    url = reverse(EDIT, args=[view.public_id])
    client.post(url, {"name": "Renamed", "query": view.query, "revision": "1"})
    view.refresh_from_db()
    assert (view.name, view.query) == ("Renamed", "analysis.gone=1&status=ended")


def test_a_view_is_deleted(vera: User) -> None:
    view = saved(vera, shared=True)
    url = reverse(DELETE, args=[view.public_id])
    assert "deleted for all members" in signed_in(vera).get(url).content.decode()
    assert SavedView.objects.exists()
    signed_in(vera).post(url)
    assert not SavedView.objects.exists()
