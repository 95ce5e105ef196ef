"""A session or token that ends while a page is open: nothing is lost, the reason is said."""

import html
import re
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from apps.accounts.models import Role, User
from apps.agents.models import Agent
from config.gateway.app import REFUSED
from config.gateway.limits import STRANGER_BYTES
from config.gateway.refusals import unknown_sender
from tests.accounts.conftest import HTMX, PASSWORD

pytestmark = pytest.mark.django_db

OURS = {"Origin": "http://testserver", "Sec-Fetch-Site": "same-origin"}
FORM = {"name": "Second line", "channel": "chat"}
LOGIN = {"sign-in-username": "ed", "sign-in-password": PASSWORD}


@pytest.fixture
def browser() -> Client:
    """A browser of an editor, signed in through the page, with every check of a real one."""
    User.objects.create_user("ed", password=PASSWORD, role=Role.EDITOR)
    client = Client(enforce_csrf_checks=True)
    _sign_in(client)
    return client


def _sign_in(client: Client) -> None:
    form = {
        "username": "ed",
        "password": PASSWORD,
        "csrfmiddlewaretoken": _token(client, "/login/"),
    }
    assert client.post("/login/", form).status_code == 302


def _token(client: Client, path: str) -> str:
    return _token_in(client.get(path).text)


def _token_in(text: str) -> str:
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', text)
    assert found
    return found[1]


def _kept(text: str) -> dict[str, str]:
    found = re.findall(
        r'<textarea\s+name="([^"]+)"\s+hidden[^>]*>\n(.*?)</textarea>', text, re.DOTALL
    )
    return {name: html.unescape(value) for name, value in found}


def _expire(client: Client, *, token_too: bool) -> None:
    del client.cookies[settings.SESSION_COOKIE_NAME]
    if token_too:
        del client.cookies[settings.CSRF_COOKIE_NAME]


@pytest.mark.parametrize("token_too", [False, True])
def test_a_form_that_is_sent_without_a_session_is_sent_after_signing_in(
    browser: Client, token_too: bool
) -> None:
    words = '  <b>Two</b>\n"lines" & more'
    form = {**FORM, "name": words, "csrfmiddlewaretoken": _token(browser, "/agents/new/")}
    _expire(browser, token_too=token_too)

    page = browser.post("/agents/new/", form, headers=OURS)
    assert "You were signed out because your session ended" in page.text
    assert _kept(page.text) == {**FORM, "name": words}
    assert page["Cache-Control"] == "no-store"

    again = {**_kept(page.text), "csrfmiddlewaretoken": _token_in(page.text)}
    wrong = {**again, **LOGIN, "sign-in-password": "not this one"}
    page = browser.post("/agents/new/", wrong, headers=OURS)
    assert "Wrong username or password" in page.text
    assert _kept(page.text) == {**FORM, "name": words}
    assert "not this one" not in page.text

    right = {**again, **LOGIN, "name": "Second line"}
    done = browser.post("/agents/new/", right, headers=OURS)
    assert done.status_code == 302
    assert Agent.objects.get().name == "Second line"


@pytest.mark.parametrize("token_too", [False, True])
def test_htmx_is_told_that_the_session_ended(browser: Client, token_too: bool) -> None:
    form = {**FORM, "csrfmiddlewaretoken": _token(browser, "/agents/new/")}
    _expire(browser, token_too=token_too)

    told = browser.post("/agents/new/", form, headers=HTMX)

    assert (told.status_code, told["X-Session"]) == (204, "ended")
    assert not Agent.objects.exists()


def test_a_large_form_without_a_session_is_explained(browser: Client) -> None:
    browser.get("/agents/new/")
    _expire(browser, token_too=False)
    unread: Any = {REFUSED: unknown_sender(STRANGER_BYTES)}  # as the gateway leaves it

    told = browser.post("/agents/new/", headers=HTMX, **unread)
    page = browser.post("/agents/new/", headers=OURS, **unread)
    stranger = Client().post("/agents/new/", headers=HTMX, **unread)
    program = browser.post("/api/agents", headers=OURS, **unread)

    assert (told.status_code, told["X-Session"]) == (204, "ended")
    assert page.status_code == 403
    assert "You were signed out because your session ended" in page.text
    assert "your browser still has what you typed" in page.text
    assert (stranger.status_code, program.status_code) == (413, 413)
    assert "Only a signed-in sender can send more than 64 KiB" in stranger.text


def test_the_dialog_signs_in_and_hands_out_the_new_token(browser: Client) -> None:
    _expire(browser, token_too=True)
    dialog = browser.get("/login/", headers=HTMX)
    assert "<html" not in dialog.text
    token = _token_in(dialog.text)
    wrong = {"username": "ed", "password": "no", "csrfmiddlewaretoken": token}
    assert "Wrong username or password" in browser.post("/login/", wrong, headers=HTMX).text

    done = browser.post("/login/", {**wrong, "password": PASSWORD}, headers=HTMX)

    assert done.status_code == 204
    begun = done.headers["HX-Trigger"]
    new = re.search(r'"token": "(\w+)"', begun)
    assert new
    assert '"username": "ed"' in begun
    sent = {**FORM, "csrfmiddlewaretoken": new[1]}
    assert browser.post("/agents/new/", sent, headers=HTMX)["HX-Redirect"]


def test_a_token_of_before_the_second_sign_in_is_replaced(browser: Client) -> None:
    old = _token(browser, "/agents/new/")
    _expire(browser, token_too=False)
    _sign_in(browser)
    form = {**FORM, "csrfmiddlewaretoken": old}

    told = browser.post("/agents/new/", form, headers=HTMX | OURS)
    assert (told.status_code, told["X-Session"]) == (403, "stale")
    assert "out of date" in told.text
    page = browser.post("/agents/new/", form, headers=OURS)
    assert "You signed in again after the page loaded" in page.text
    assert _kept(page.text) == FORM
    assert "sign-in-password" not in page.text
    assert not Agent.objects.exists()

    again = {**_kept(page.text), "csrfmiddlewaretoken": _token_in(page.text)}
    assert browser.post("/agents/new/", again, headers=OURS).status_code == 302


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "null"},
    ],
)
def test_what_another_site_sends_is_neither_done_nor_shown_again(
    browser: Client, headers: dict[str, str]
) -> None:
    page = browser.post("/agents/new/", FORM, headers=headers)

    assert page.status_code == 403
    assert "Second line" not in page.text
    assert not Agent.objects.exists()


def test_a_login_form_that_is_out_of_date_leads_on(browser: Client) -> None:
    form = {"username": "ed", "password": PASSWORD, "csrfmiddlewaretoken": "x" * 64}
    again = browser.post("/login/?next=/agents/", form, headers=OURS)
    assert again["Location"] == "/login/?next=%2Fagents%2F"


def test_the_login_says_why_only_to_who_was_signed_out(browser: Client, client: Client) -> None:
    assert "why" not in client.get("/agents/")["Location"]
    browser.get("/agents/")
    _expire(browser, token_too=True)
    there = browser.get("/agents/")["Location"]
    assert "You were signed out" in browser.get(there).text

    _sign_in(browser)
    browser.post("/logout/", headers={"X-CSRFToken": browser.cookies["csrftoken"].value})
    assert "why" not in browser.get("/agents/")["Location"]


def test_an_old_session_does_not_survive_a_new_password(browser: Client) -> None:
    browser.get("/agents/")
    user = User.objects.get(username="ed")
    user.set_password("another-long-word-9")
    user.save()
    assert "why=ended" in browser.get("/agents/")["Location"]
