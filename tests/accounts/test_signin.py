"""Signing in through the page, as a browser does it."""

from typing import Any

import pytest
from django.test import Client, RequestFactory
from django.urls import reverse
from pytest_django import Settings

from apps.accounts import services
from apps.accounts.models import Role, User
from apps.accounts.signin import admits_demo
from apps.core.errors import Conflict
from tests.accounts.conftest import HTMX, PASSWORD, MakePerson

pytestmark = pytest.mark.django_db

LOGIN = "/login/"


def _post(client: Client, username: str = "ada", password: str = PASSWORD, **more: str) -> Any:
    return client.post(LOGIN, {"username": username, "password": password, **more})


def _signed_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


def test_shows_the_form(client: Client) -> None:
    response = client.get(LOGIN)

    assert response.status_code == 200
    assert "no-store" in response.headers["Cache-Control"]


def test_opens_a_session_and_goes_on(client: Client, person: MakePerson) -> None:
    person()

    response = _post(client, next="/people/")

    assert (response.status_code, response.headers["Location"]) == (302, "/people/")
    assert _signed_in(client)


def test_case_of_the_name_does_not_matter(client: Client, person: MakePerson) -> None:
    person("Ada")

    assert _post(client, "aDA").status_code == 302


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "javascript:alert(1)", "/\\evil.example"]
)
def test_never_goes_to_another_site(client: Client, person: MakePerson, target: str) -> None:
    person()

    assert _post(client, next=target).headers["Location"] == "/"


def test_who_is_signed_in_goes_straight_on(as_admin: Client) -> None:
    response = as_admin.get(f"{LOGIN}?next=/people/")

    assert response.headers["Location"] == "/people/"


@pytest.mark.parametrize(("username", "password"), [("ada", "wrong"), ("nobody", PASSWORD)])
def test_one_sentence_for_a_wrong_password_and_an_unknown_name(
    client: Client, person: MakePerson, username: str, password: str
) -> None:
    person()

    response = _post(client, username, password)

    assert response.status_code == 200
    assert "Wrong username or password" in response.text
    assert not _signed_in(client)


def test_the_deactivated_stay_out(client: Client, person: MakePerson) -> None:
    person(is_active=False)

    assert "Wrong username or password" in _post(client).text


def test_deactivating_ends_open_sessions(client: Client, person: MakePerson) -> None:
    user = person()
    client.force_login(user)
    User.objects.filter(pk=user.pk).update(is_active=False)

    assert client.get("/profile/").headers["Location"].startswith(LOGIN)


def test_after_five_failures_the_right_password_waits_too(
    client: Client, person: MakePerson
) -> None:
    person()
    for _ in range(5):
        _post(client, password="wrong")

    response = _post(client)

    assert "Too many failed sign-ins. Try again in 15 minutes." in response.text
    assert not _signed_in(client)


@pytest.mark.parametrize(
    ("username", "error"),
    [("a\0b", "Null characters"), ("x" * 500, "at most"), ("", "required")],
)
def test_form_rejects_invalid_names(client: Client, username: str, error: str) -> None:
    response = _post(client, username)

    assert response.status_code == 200
    assert error in " ".join(response.context["form"].errors["username"])
    assert not _signed_in(client)


def test_signs_out_by_post_only(as_admin: Client) -> None:
    assert as_admin.get("/logout/").status_code == 405

    response = as_admin.post("/logout/")

    assert response.headers["Location"] == LOGIN
    assert not _signed_in(as_admin)


class TestDemoLogin:
    @pytest.fixture
    def demo(self, db: None) -> User:
        return services.ensure_demo_user(PASSWORD)

    def test_works_on_this_machine(self, client: Client, demo: User) -> None:
        response = client.post(
            LOGIN, {"username": "demo", "password": PASSWORD}, headers={"Host": "localhost:8000"}
        )

        assert response.status_code == 302
        assert demo.effective_role is Role.ADMIN

    @pytest.mark.parametrize(
        "more",
        [
            {"REMOTE_ADDR": "192.0.2.7"},
            {"REMOTE_ADDR": ""},
            {"HTTP_HOST": "debrief.example.com"},
            {"HTTP_X_FORWARDED_FOR": "127.0.0.1"},
            {"HTTP_FORWARDED": "for=192.0.2.7"},
            {"HTTP_ORIGIN": "https://debrief.example.com"},
            {"HTTP_ORIGIN": "null"},
            {"HTTP_ORIGIN": "http://[localhost"},
            {"HTTP_REFERER": "http://192.0.2.1/login/"},
            {"SERVER_PROTOCOL": "HTTP/1.0"},
        ],
    )
    def test_is_refused_from_beyond(
        self, client: Client, demo: User, more: dict[str, Any], settings: Settings
    ) -> None:
        settings.ALLOWED_HOSTS = ["*"]
        at_home = {"HTTP_HOST": "localhost"}

        response = client.post(LOGIN, {"username": "demo", "password": PASSWORD}, **at_home | more)

        assert response.status_code == 200
        assert "works only on the machine running Debrief" in response.text
        assert not _signed_in(client)

    def test_is_refused_where_others_are_to_reach_the_pages(
        self, client: Client, demo: User, settings: Settings
    ) -> None:
        settings.DEMO_LOGIN = False

        response = client.post(LOGIN, {"username": "demo", "password": PASSWORD})

        assert "works only on the machine running Debrief" in response.text
        assert not _signed_in(client)

    def test_keeps_its_person_with_a_new_password(self, demo: User) -> None:
        again = services.ensure_demo_user("another password")

        assert again.pk == demo.pk
        assert again.check_password("another password")

    def test_does_not_take_over_a_real_person(self, person: MakePerson) -> None:
        person("demo")

        with pytest.raises(Conflict, match="not the demo login"):
            services.ensure_demo_user(PASSWORD)


@pytest.mark.parametrize(
    ("host", "address", "local"),
    [
        ("localhost:8000", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.9", True),
        ("[::1]:8000", "::1", True),
        ("debrief.localhost", "::1", True),
        ("localhost.evil.example", "127.0.0.1", False),
        ("127.0.0.1.example", "127.0.0.1", False),
        ("localhost", "10.0.0.1", False),
        ("localhost", "nonsense", False),
    ],
)
def test_what_counts_as_this_machine(
    host: str, address: str, local: bool, settings: Settings
) -> None:
    settings.ALLOWED_HOSTS = ["*"]

    assert admits_demo(RequestFactory().get("/", HTTP_HOST=host, REMOTE_ADDR=address)) is local


class TestLoginRequired:
    def test_a_page_comes_back_to_itself(self, client: Client) -> None:
        response = client.get("/people/?x=1")

        assert response.headers["Location"] == "/login/?next=/people/%3Fx%3D1"

    def test_a_fragment_says_that_the_session_ended(self, client: Client) -> None:
        response = client.get("/people/", headers=HTMX)

        assert response.status_code == 204
        assert response.headers["X-Session"] == "ended"

    def test_a_program_is_told_in_json(self, client: Client) -> None:
        response = client.get("/people/", headers={"Accept": "application/json"})

        assert response.status_code == 401
        assert response.json()["error"]["code"] == "unauthorized"


class TestProfile:
    def test_shows_name_and_role(self, as_admin: Client) -> None:
        assert "root" in as_admin.get("/profile/").text

    def test_changes_the_password_and_keeps_this_session(
        self, as_admin: Client, admin: User
    ) -> None:
        other = Client()
        other.force_login(admin)
        new = "another good one 7"

        response = as_admin.post("/profile/", {"current": PASSWORD, "password": new, "again": new})

        assert response.status_code == 302
        assert as_admin.get("/profile/").status_code == 200
        assert other.get("/profile/").status_code == 302
        admin.refresh_from_db()
        assert admin.check_password(new)

    @pytest.mark.parametrize(
        ("current", "password", "again", "says"),
        [
            ("wrong", "a good password", "a good password", "not your current password"),
            (PASSWORD, "a good password", "another one 99", "The passwords don&#x27;t match"),
            (PASSWORD, "short", "short", "too short"),
            (PASSWORD, "", "", "required"),
        ],
    )
    def test_refuses_in_words(
        self, as_admin: Client, current: str, password: str, again: str, says: str
    ) -> None:
        response = as_admin.post(
            "/profile/", {"current": current, "password": password, "again": again}
        )

        assert response.status_code == 200
        assert says in response.text


class TestPasswordLink:
    def test_lets_a_person_choose_once(self, client: Client, person: MakePerson) -> None:
        user = person("ada")
        link = services.password_link(user)
        new = "chosen by myself"

        assert client.get(link).status_code == 200
        response = client.post(link, {"password": new, "again": new})

        assert response.headers["Location"] == LOGIN
        assert "Password saved" in client.get(LOGIN).text
        assert _post(client, "ada", new).status_code == 302
        assert Client().get(link).status_code == 404

    def test_refuses_a_weak_one(self, client: Client, person: MakePerson) -> None:
        link = services.password_link(person("ada"))

        assert "too short" in client.post(link, {"password": "x", "again": "x"}).text

    @pytest.mark.parametrize("uid", ["x", "AA", "MQ", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5"])
    def test_a_made_up_link_is_not_found(self, client: Client, uid: str) -> None:
        response = client.get(reverse("accounts:choose_password", args=[uid, "a-b"]))

        assert response.status_code == 404
        assert "This link has expired" in response.text
