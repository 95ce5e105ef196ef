"""Whose address counts, behind which proxies; and who is locked out by whom."""

from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

import pytest
from django.test import Client, RequestFactory
from pytest_django import Settings

from apps.accounts import throttle
from apps.accounts.models import User
from apps.core.client_address import client_address, network_of
from tests.accounts.conftest import PASSWORD, MakePerson

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PROXIES = [ip_network("10.0.0.0/8"), ip_network("fd00::/8"), ip_network("127.0.0.1/32")]


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.1", None, "192.0.2.1"),
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),  # no proxy of ours: it may write what it likes
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "203.0.113.9, 198.51.100.7", "198.51.100.7"),  # the left one is the client's
        ("10.0.0.1", "198.51.100.7, 10.2.2.2", "198.51.100.7"),
        ("10.0.0.1", "198.51.100.7,10.2.2.2 , 10.3.3.3", "198.51.100.7"),
        ("10.0.0.1", "10.2.2.2, 10.3.3.3", "10.2.2.2"),
        ("10.0.0.1", "198.51.100.7:4711", "198.51.100.7"),
        ("10.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
        ("10.0.0.1", '"[2001:db8::1]"', "2001:db8::1"),
        ("10.0.0.1", "198.51.100.7, nonsense", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7, unknown, 10.2.2.2", "10.2.2.2"),
        ("10.0.0.1", "198.51.100.7,", "10.0.0.1"),
        ("fd00::1", "::ffff:198.51.100.7", "198.51.100.7"),
        ("::ffff:10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("fe80::1%eth0", "198.51.100.7", "fe80::1"),
        ("", "198.51.100.7", ""),
    ],
)
def test_the_right_most_address_that_is_no_proxy(
    peer: str, forwarded: str | None, client: str, settings: Settings
) -> None:
    settings.TRUSTED_PROXIES = PROXIES
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}

    request = RequestFactory().get("/", headers=headers, REMOTE_ADDR=peer)

    assert client_address(request) == client


@pytest.mark.parametrize(
    ("address", "network"),
    [("192.0.2.1", "192.0.2.1"), ("2001:db8::1", "2001:db8::/64"), ("", ""), ("x", "x")],
)
def test_an_ipv6_client_is_its_network(address: str, network: str) -> None:
    assert network_of(address) == network


def sign_in(client: Client, name: str, password: str, address: str) -> Any:
    head = {"X-Forwarded-For": address}
    form = {"username": name, "password": password}
    return client.post("/login/", form, headers=head, REMOTE_ADDR="10.0.0.1")


@pytest.mark.django_db
def test_a_stranger_behind_the_proxy_locks_only_himself(
    person: MakePerson, settings: Settings
) -> None:
    settings.TRUSTED_PROXIES = PROXIES
    person("ada")
    for number in range(throttle.PER_ADDRESS + 1):
        last = sign_in(Client(), f"name-{number}", "wrong", "203.0.113.9")
    assert "Too many failed sign-ins" in last.text

    assert sign_in(Client(), "ada", PASSWORD, "198.51.100.7").status_code == 302


@pytest.mark.django_db
def test_a_browser_of_the_person_is_not_locked_out(person: MakePerson) -> None:
    """Even where all have one address, because nobody named the proxy."""
    person("ada")
    known = Client()
    assert sign_in(known, "ada", PASSWORD, "x").status_code == 302
    known.post("/logout/")
    for number in range(throttle.PER_ADDRESS + 1):
        sign_in(Client(), f"name-{number}", "wrong", "x")
    for _ in range(throttle.PER_NAME_AND_ADDRESS + 1):
        sign_in(Client(), "ada", "wrong", "x")

    stranger = sign_in(Client(), "ada", PASSWORD, "x")
    again = sign_in(known, "ada", PASSWORD, "x")

    assert "Too many failed sign-ins" in stranger.text
    assert again.status_code == 302


@pytest.mark.django_db
def test_a_known_browser_guesses_ten_times_and_only_for_its_person(person: MakePerson) -> None:
    person("ada")
    person("bob")
    known = Client()
    sign_in(known, "ada", PASSWORD, "x")
    known.post("/logout/")
    for _ in range(throttle.PER_DEVICE):
        assert "Wrong username or password" in sign_in(known, "ada", "wrong", "x").text
    for _ in range(throttle.PER_NAME_AND_ADDRESS):
        assert "Wrong username or password" in sign_in(known, "bob", "wrong", "x").text

    assert "Too many" in sign_in(known, "ada", PASSWORD, "x").text
    assert "Too many" in sign_in(known, "bob", PASSWORD, "x").text


@pytest.mark.django_db
def test_an_open_session_is_not_locked(person: MakePerson) -> None:
    client = Client()
    client.force_login(person("ada"))
    for _ in range(throttle.PER_NAME_AND_ADDRESS + 1):
        sign_in(Client(), "ada", "wrong", "x")

    assert client.get("/profile/").status_code == 200


@pytest.mark.django_db
def test_a_device_cookie_of_another_key_is_no_device(person: MakePerson) -> None:
    person("ada")
    client = Client()
    client.cookies["device"] = "1.abc:1tabc:forged"
    for _ in range(throttle.PER_NAME_AND_ADDRESS):
        sign_in(client, "ada", "wrong", "x")

    assert "Too many" in sign_in(client, "ada", PASSWORD, "x").text


@pytest.mark.django_db
class TestPasswordOfASession:
    def test_is_guessed_five_times(self, as_admin: Client, admin: User) -> None:
        form = {"current": "wrong", "password": "another good one 7", "again": "another good one 7"}
        for _ in range(throttle.PER_PERSON):
            assert "not your current password" in as_admin.post("/profile/", form).text

        right = as_admin.post("/profile/", {**form, "current": PASSWORD})

        assert "Too many" in right.text
        admin.refresh_from_db()
        assert admin.check_password(PASSWORD)

    def test_right_ones_do_not_count(self, as_admin: Client) -> None:
        for _ in range(throttle.PER_PERSON * 2):
            form = {"current": PASSWORD, "password": "short", "again": "short"}
            assert "too short" in as_admin.post("/profile/", form).text


@pytest.mark.django_db
def test_a_session_from_before_a_deactivation_never_lives_again(
    person: MakePerson, as_admin: Client
) -> None:
    user = person("ada")
    client = Client()
    client.force_login(user)
    assert client.get("/profile/").status_code == 200

    as_admin.post(f"/people/{user.pk}/active/", {"active": "0"})
    assert User.objects.filter(pk=user.pk, is_active=False).exists()
    as_admin.post(f"/people/{user.pk}/active/", {"active": "1"})
    user.refresh_from_db()

    assert client.get("/profile/").status_code == 302
    client.force_login(user)
    assert client.get("/profile/").status_code == 200
