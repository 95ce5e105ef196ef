"""API keys, people, audit: works, fragment, missing, query count (roles are in the matrix)."""

import html
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from apps.accounts.actors import Actor
from apps.accounts.keys import KEY, authenticate_key, create_api_key, revoke_api_key
from apps.accounts.models import ApiKey, AuditEntry, Role, User
from tests.accounts.conftest import HTMX, PASSWORD, MakePerson

pytestmark = pytest.mark.django_db

FORMS = ["/api-keys/new/", "/people/new/"]
LISTS = ["/api-keys/", "/people/", "/audit/"]


def _said(response: Any) -> str:
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


@pytest.mark.parametrize("url", FORMS)
def test_forms_come_as_a_page_and_as_a_dialog(as_admin: Client, url: str) -> None:
    page, fragment = as_admin.get(url), as_admin.get(url, headers=HTMX)

    assert "<html" in page.text
    assert "<html" not in fragment.text
    assert "dialog-frame" in page.text
    assert "dialog-frame" in fragment.text
    assert "HX-Request" in fragment.headers["Vary"]


@pytest.mark.parametrize("url", LISTS)
def test_lists_come_as_a_page_and_as_a_fragment(as_admin: Client, url: str) -> None:
    page, fragment = as_admin.get(url), as_admin.get(url, headers=HTMX)

    assert "<html" in page.text
    assert "<html" not in fragment.text


@pytest.mark.parametrize("url", FORMS)
def test_an_invalid_form_comes_back(as_admin: Client, url: str) -> None:
    response = as_admin.post(url, {}, headers=HTMX)

    assert response.status_code == 200
    assert "This field is required" in response.text


@pytest.mark.parametrize(
    "url",
    [
        "/api-keys/key_none/revoke/",
        *(f"/people/2000000000/{page}" for page in ("", "password/", "active/")),
    ],
)
def test_what_is_not_there_is_not_found(as_admin: Client, url: str) -> None:
    assert as_admin.get(url).status_code == 404
    assert as_admin.post(url).status_code == 404


class TestKeys:
    def test_a_new_key_comes_with_a_command_that_works(self, as_admin: Client) -> None:
        page = as_admin.post("/api-keys/new/", {"name": "CI", "role": "viewer"}, headers=HTMX).text
        command = html.unescape(re.findall(r'data-copy="(curl[^"]+)"', page)[0])

        header, url = command.removeprefix("curl -H 'Authorization: ").split("' ")
        answer = Client().get(urlsplit(url).path, headers={"Authorization": header})
        assert answer.status_code == 200

    def test_none_yet(self, as_admin: Client) -> None:
        assert "No API keys yet" in as_admin.get("/api-keys/").text

    def test_lists_those_that_work_first(
        self, as_admin: Client, by: Actor, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        for name in ("first", "second", "third"):
            key, _ = create_api_key(name=name, role=Role.VIEWER, by=by)
            if name == "third":
                revoke_api_key(key=key, by=by)

        with django_assert_num_queries(3):  # session, user, keys
            page = as_admin.get("/api-keys/").text

        at = [page.index(f">{name}<") for name in ("second", "first", "third")]
        assert at == sorted(at)
        assert page.count(">Revoke<") == 2

    def test_is_shown_once(self, as_admin: Client) -> None:
        response = as_admin.post("/api-keys/new/", {"name": "Export", "role": "editor"})

        secret = KEY.search(response.text)[0]  # type: ignore[index]  # None fails the test
        assert "no-store" in response.headers["Cache-Control"]
        assert str(authenticate_key(secret)).startswith("Export")
        assert AuditEntry.objects.get().who == "root"
        assert secret not in as_admin.get("/api-keys/").text

    def test_is_revoked_after_a_question(self, as_admin: Client, by: Actor) -> None:
        key, secret = create_api_key(name="Export", role=Role.VIEWER, by=by)
        url = f"/api-keys/{key.public_id}/revoke/"

        assert "will fail immediately" in as_admin.get(url, headers=HTMX).text
        assert authenticate_key(secret) is not None
        response = as_admin.post(url, headers=HTMX)

        assert response.status_code == 204
        assert "api_keys:changed" in response.headers["HX-Trigger"]
        assert authenticate_key(secret) is None
        again = as_admin.post(url)
        assert (again.status_code, again.headers["Location"]) == (302, "/api-keys/")
        assert "is already revoked" in _said(again)
        assert ApiKey.objects.get().revoked_by == "root"


class TestPeople:
    def test_lists_everybody(
        self,
        as_admin: Client,
        person: MakePerson,
        django_assert_num_queries: DjangoAssertNumQueries,
    ) -> None:
        for number in range(5):
            person(f"p{number}", is_active=number > 2)

        with django_assert_num_queries(3):  # session, user, people
            page = as_admin.get("/people/").text

        assert page.count("Deactivated") == 3

    def test_adds_with_a_password(self, as_admin: Client) -> None:
        form = {"username": "ada", "role": "editor", "password": "a good password"}

        response = as_admin.post("/people/new/", form, headers=HTMX)

        assert response.status_code == 204
        assert "ada added" in response.headers["HX-Trigger"]
        assert User.objects.get(username="ada").check_password("a good password")

    def test_adds_without_and_shows_the_link(self, as_admin: Client, client: Client) -> None:
        response = as_admin.post("/people/new/", {"username": "ada", "role": "viewer"})

        start = response.text.index("http://testserver/password/")
        link = response.text[start : response.text.index('"', start)]
        client.logout()
        assert "Choose a password" in client.get(link).text

    @pytest.mark.parametrize(
        ("form", "says"),
        [
            ({"username": "ROOT", "role": "viewer"}, "The username ROOT is taken"),
            ({"username": "a b", "role": "viewer"}, "Enter a valid username"),
            ({"username": "ada", "role": "boss"}, "isn&#x27;t a role"),
            ({"username": "ada", "role": "viewer", "password": "x"}, "too short"),
            ({"username": "ada", "role": "viewer", "email": "x"}, "valid email"),
        ],
    )
    def test_refuses_in_words(self, as_admin: Client, form: dict[str, str], says: str) -> None:
        assert says in as_admin.post("/people/new/", form, headers=HTMX).text
        assert User.objects.count() == 1

    def test_changes_the_role(self, as_admin: Client, person: MakePerson) -> None:
        ada = person("ada")
        url = f"/people/{ada.pk}/"

        assert "Signs in as ada" in as_admin.get(url, headers=HTMX).text
        response = as_admin.post(url, {"role": "editor", "first_name": "Ada"}, headers=HTMX)

        assert response.status_code == 204
        assert "people:changed" in response.headers["HX-Trigger"]
        ada.refresh_from_db()
        assert (ada.role, ada.first_name) == ("editor", "Ada")

    def test_says_why_the_last_admin_stays(self, as_admin: Client, admin: User) -> None:
        role = as_admin.post(f"/people/{admin.pk}/", {"role": "viewer"}, headers=HTMX)
        out = as_admin.post(f"/people/{admin.pk}/active/", {"active": "0"}, headers=HTMX)

        assert "is the only active admin" in role.text
        assert "is the only active admin" in out.text

    def test_sets_a_password(self, as_admin: Client, person: MakePerson) -> None:
        ada = person("ada")
        url = f"/people/{ada.pk}/password/"
        new = "something else 5"

        assert as_admin.get(url, headers=HTMX).status_code == 200
        refused = as_admin.post(url, {"password": new, "again": PASSWORD})
        assert "passwords don&#x27;t match" in refused.text
        assert "too short" in as_admin.post(url, {"password": "x", "again": "x"}).text
        as_admin.post(url, {"password": new, "again": new})

        ada.refresh_from_db()
        assert ada.check_password(new)

    def test_makes_a_link(self, as_admin: Client, person: MakePerson) -> None:
        ada, gone = person("ada"), person("gone", is_active=False)

        page = as_admin.post(f"/people/{ada.pk}/link/", headers=HTMX).text

        assert "/password/" in page
        assert as_admin.post(f"/people/{gone.pk}/link/").status_code == 404

    def test_shuts_out_and_lets_in(self, as_admin: Client, person: MakePerson) -> None:
        ada = person("ada")
        url = f"/people/{ada.pk}/active/"

        assert "signed out immediately" in as_admin.get(url, headers=HTMX).text
        assert "deactivated and signed out" in _said(as_admin.post(url, {"active": "0"}))
        assert "can sign in again" in as_admin.get(url, headers=HTMX).text
        as_admin.post(url, {"active": "1"})

        ada.refresh_from_db()
        assert ada.is_active


class TestAudit:
    @pytest.fixture
    def entries(self, db: None) -> None:
        start = datetime(2026, 3, 1, tzinfo=UTC)
        AuditEntry.objects.bulk_create(
            AuditEntry(
                at=start + timedelta(seconds=number),
                who="Ada" if number % 2 else "Bob",
                via="web",
                verb="agent.published",
                target=f"agt_{number:03}",
                detail={"note": f"<b>{number}</b>"},
            )
            for number in range(120)
        )

    def test_nothing_yet(self, as_admin: Client) -> None:
        assert "No activity yet" in as_admin.get("/audit/").text

    @pytest.mark.usefixtures("entries")
    def test_newest_first_with_its_detail(
        self, as_admin: Client, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        with django_assert_num_queries(3):  # session, user, entries
            page = as_admin.get("/audit/").text

        assert page.index("agt_119") < page.index("agt_070")
        assert "agt_069" not in page
        assert "&lt;b&gt;119&lt;/b&gt;" in page

    @pytest.mark.usefixtures("entries")
    def test_pages_go_on_and_back_and_keep_the_filter(self, as_admin: Client) -> None:
        first = as_admin.get("/audit/?who=ada")
        second = as_admin.get(first.context["next_url"], headers=HTMX)
        back = as_admin.get(second.context["previous_url"])

        assert "<html" not in second.text
        assert second.context["next_url"] == ""
        assert "who=ada" in first.context["next_url"]
        assert [e.pk for e in back.context["entries"]] == [e.pk for e in first.context["entries"]]
        assert len(second.context["entries"]) == 10

    @pytest.mark.usefixtures("entries")
    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("verb=agent", 50),
            ("verb=agent.published&target=agt_007", 1),
            ("verb=agen", 0),
            ("via=api", 0),
        ],
    )
    def test_filters(self, as_admin: Client, query: str, found: int) -> None:
        response = as_admin.get(f"/audit/?{query}")

        assert len(response.context["entries"]) == found
        assert ("No matching entries" in response.text) is (found == 0)

    @pytest.mark.usefixtures("entries")
    @pytest.mark.parametrize("query", ["via=fax", "cursor=x", "who=%00", "verb=" + "x" * 99])
    def test_a_filter_that_cannot_be_read_shows_nothing_and_says_so(
        self, as_admin: Client, query: str
    ) -> None:
        response = as_admin.get(f"/audit/?{query}")

        assert response.status_code == 200
        assert 'role="alert"' in response.text
        assert list(response.context["entries"]) == []
