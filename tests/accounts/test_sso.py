"""Single sign-on against a provider with real signatures."""

import urllib.request
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.test import Client
from joserfc.jwk import RSAKey
from pytest_django import Settings

from apps.accounts import oidc
from apps.accounts.models import AuditEntry, Role, User
from config import sign_on
from tests.accounts.conftest import PASSWORD, MakePerson
from tests.fakes.oidc_server import CLIENT, SECRET, Claims, OidcServer

pytestmark = pytest.mark.django_db


@pytest.fixture
def provider(settings: Settings) -> Iterator[OidcServer]:
    server = OidcServer()
    server.person = {
        "sub": "u-1", "preferred_username": "ada", "given_name": "Ada", "family_name": "Lovelace",
        "email": "ada@example.com", "email_verified": True, "groups": ["ops", "other"],
    }  # fmt: skip
    settings.OIDC_ISSUER = server.url
    settings.OIDC_CLIENT_ID, settings.OIDC_CLIENT_SECRET = CLIENT, SECRET
    settings.OIDC_ROLES = [("ops", "operator"), ("boss", "admin")]
    oidc._client_of.cache_clear()
    yield server
    server.close()


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def visited(url: str) -> str:
    """Where the provider sends the browser."""
    try:
        urllib.request.build_opener(_Stay).open(url, timeout=10)
    except urllib.error.HTTPError as response:
        return str(response.headers["Location"])
    raise AssertionError("no redirect")


def sign_in(client: Client, target: str = "/") -> Any:
    started = client.get("/login/sso/", {"next": target})
    assert started.status_code == 302, started.content
    back = urlsplit(visited(started.headers["Location"]))
    return client.get(f"{back.path}?{back.query}")


def problem(response: Any) -> str:
    """The sentence on the sign-in page, where nobody is signed in."""
    assert "_auth_user_id" not in response.client.session
    assert response.templates[0].name == "accounts/login.html"
    return str(response.context["problem"])


def test_a_new_person_gets_the_role_of_their_groups(client: Client, provider: OidcServer) -> None:
    response = sign_in(client, "/agents/")
    assert (response.status_code, response.headers["Location"]) == (302, "/agents/")
    user = User.objects.get()
    assert (user.username, user.role, user.email) == ("ada", Role.OPERATOR, "ada@example.com")
    assert not user.has_usable_password()
    assert client.session["_auth_user_id"] == str(user.pk)
    assert 0 < client.session.get_expiry_age() <= 12 * 3600
    verbs = list(AuditEntry.objects.order_by("pk").values_list("verb", flat=True))
    assert verbs == ["person.created", "person.signed_in"]
    sent = dict(provider.requests)["/authorize"]
    assert len(sent["state"]) >= 20
    assert len(sent["nonce"]) >= 20


def test_roles_follow_the_groups_at_each_sign_in(client: Client, provider: OidcServer) -> None:
    sign_in(client)
    provider.person |= {"groups": ["boss", "ops"], "email": "new@example.com"}
    sign_in(Client())
    user = User.objects.get()
    assert (user.role, user.email) == (Role.ADMIN, "new@example.com")
    provider.person |= {"groups": "ops"}
    sign_in(Client())
    user.refresh_from_db()
    assert (user.role, user.is_staff) == (Role.OPERATOR, False)


def test_groups_that_grant_nothing_deactivate_and_return(
    client: Client, provider: OidcServer
) -> None:
    sign_in(client)
    provider.person |= {"groups": ["other"]}
    response = sign_in(Client())
    assert response.status_code == 403
    assert problem(response).startswith("None of your groups has access to Debrief.")
    user = User.objects.get()
    assert not user.is_active
    assert client.get("/profile/").status_code == 302  # the session from before has ended
    provider.person |= {"groups": ["ops"]}
    assert sign_in(Client()).status_code == 302
    user.refresh_from_db()
    assert (user.is_active, user.deactivated_by_sso) == (True, False)


def test_strangers_without_a_group_leave_nothing(client: Client, provider: OidcServer) -> None:
    provider.person |= {"groups": []}
    assert sign_in(client).status_code == 403
    assert not User.objects.exists()


def test_whom_an_admin_deactivated_stays_out(client: Client, provider: OidcServer) -> None:
    sign_in(client)
    User.objects.update(is_active=False)
    response = sign_in(Client())
    assert response.status_code == 403
    assert problem(response).startswith("An admin has deactivated your account in Debrief.")
    assert not User.objects.get().is_active


def test_a_member_is_linked_by_verified_email_only(
    client: Client, provider: OidcServer, person: MakePerson
) -> None:
    local = person("lovelace")
    User.objects.update(email="ADA@example.com")
    provider.person |= {"email_verified": False}
    sign_in(client)
    assert User.objects.count() == 2
    provider.person |= {"email_verified": True, "sub": "u-2"}
    User.objects.exclude(pk=local.pk).update(email="other@example.com")
    sign_in(Client())
    local.refresh_from_db()
    assert local.sso_subject == f"{provider.url} u-2"
    assert User.objects.count() == 2


def test_a_taken_username_is_not_taken_over(
    client: Client, provider: OidcServer, person: MakePerson
) -> None:
    person("Ada")
    sign_in(client)
    assert set(User.objects.values_list("username", flat=True)) == {"Ada", "ada@example.com"}
    assert client.session["_auth_user_id"] != str(User.objects.get(username="Ada").pk)


def test_groups_may_come_from_userinfo(client: Client, provider: OidcServer) -> None:
    groups = provider.person.pop("groups")
    provider.userinfo = {"sub": "u-1", "groups": groups}
    assert sign_in(client).status_code == 302
    provider.userinfo = {"sub": "u-9", "groups": groups}
    assert "describes two people" in problem(sign_in(Client()))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda c: c | {"iss": "https://evil.example"}, "issued by or for another system"),
        (lambda c: c | {"aud": "another"}, "issued by or for another system"),
        (lambda c: c | {"aud": ["another"], "azp": CLIENT}, "issued by or for another system"),
        (lambda c: c | {"exp": c["iat"] - 600}, "it has expired"),
        (lambda c: c | {"nonce": "replayed"}, "issued by or for another system"),
        (lambda c: {k: v for k, v in c.items() if k != "nonce"}, "a required claim is missing"),
        (lambda c: {k: v for k, v in c.items() if k != "sub"}, "a required claim is missing"),
    ],
    ids=["issuer", "audience", "audience with azp", "expired", "nonce", "no nonce", "no subject"],
)
def test_wrong_claims_open_nothing(
    client: Client, provider: OidcServer, change: Callable[[Claims], Claims], sentence: str
) -> None:
    provider.change = change
    response = sign_in(client)
    assert response.status_code == 401
    assert sentence in problem(response)
    assert not User.objects.exists()


def test_unknown_keys_open_nothing_and_new_ones_are_fetched(
    client: Client, provider: OidcServer
) -> None:
    sign_in(client)
    provider.key = RSAKey.generate_key(2048, {"kid": "first", "use": "sig"})
    assert "signature is wrong" in problem(sign_in(Client()))
    provider.key = RSAKey.generate_key(2048, {"kid": "second", "use": "sig"})
    assert "can't be verified" in problem(sign_in(Client()))
    provider.published.append(provider.key)
    assert sign_in(Client()).status_code == 302


def test_another_state_or_a_used_code_opens_nothing(client: Client, provider: OidcServer) -> None:
    started = client.get("/login/sso/")
    back = urlsplit(visited(started.headers["Location"]))
    assert "another browser" in problem(Client().get(f"{back.path}?{back.query}"))
    forged = parse_qs(back.query) | {"state": ["forged"]}
    assert "another browser" in problem(client.get(back.path, {k: v[0] for k, v in forged.items()}))
    assert client.get(f"{back.path}?{back.query}").status_code == 302
    assert Client().get("/login/sso/callback/").status_code == 401


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda p: setattr(p, "denies", "access_denied"), "denied the sign-in"),
        (lambda p: setattr(p, "denies", "server_error"), "rejected the sign-in."),
        (lambda p: p.broken.update({"/token": 200}), "can't be read"),
        (lambda p: p.broken.update({"/token": 503}), "isn't responding"),
        (lambda p: p.broken.update({"/keys": 503}), "isn't responding"),
    ],
    ids=["denied", "error", "no JSON", "token 503", "keys 503"],
)
def test_each_failure_is_one_sentence(
    client: Client, provider: OidcServer, spoil: Callable[[OidcServer], None], sentence: str
) -> None:
    spoil(provider)
    response = sign_in(client)
    assert sentence in problem(response)
    assert "<b>" not in response.content.decode().replace("<body>", "")


def test_a_wrong_secret_is_named(client: Client, provider: OidcServer, settings: Settings) -> None:
    settings.OIDC_CLIENT_SECRET = "another"
    assert "OIDC_CLIENT_ID and OIDC_CLIENT_SECRET" in problem(sign_in(client))


def test_a_provider_that_is_away_or_another_is_named(client: Client, provider: OidcServer) -> None:
    provider.issuer = "https://evil.example"
    assert "another issuer" in problem(client.get("/login/sso/"))
    provider.issuer = ""
    provider.broken["/.well-known/openid-configuration"] = 502
    assert "isn't responding" in problem(client.get("/login/sso/"))
    provider.broken.clear()
    assert client.get("/login/sso/").status_code == 302


def test_signing_out_continues_at_the_provider(client: Client, provider: OidcServer) -> None:
    sign_in(client)
    location = urlsplit(client.post("/logout/").headers["Location"])
    sent = parse_qs(location.query)
    assert f"{location.scheme}://{location.netloc}{location.path}" == f"{provider.url}/end"
    assert sent["post_logout_redirect_uri"] == ["http://testserver/login/"]
    assert sent["id_token_hint"]
    assert "_auth_user_id" not in client.session


def test_a_local_session_signs_out_here(
    client: Client, provider: OidcServer, person: MakePerson
) -> None:
    client.force_login(person())
    assert client.post("/logout/").headers["Location"] == "/login/"


def test_passwords_can_be_switched_off(
    client: Client, provider: OidcServer, person: MakePerson, settings: Settings
) -> None:
    person()
    assert "Sign in with single sign-on" in client.get("/login/").content.decode()
    settings.OIDC_ONLY = True
    page = client.get("/login/").content.decode()
    assert 'name="password"' not in page
    response = client.post("/login/", {"username": "ada", "password": PASSWORD})
    assert "_auth_user_id" not in client.session
    assert "Passwords are switched off here." in response.content.decode()
    assert (
        "Passwords are switched off here."
        in client.post("/login/", {"username": "nobody", "password": "x"}).content.decode()
    )


def test_a_link_from_the_command_line_opens_one_session(
    client: Client, provider: OidcServer, person: MakePerson, settings: Settings,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    settings.OIDC_ONLY = True
    user = person()
    call_command("create_sign_in_link", "ADA")
    path = capsys.readouterr().out.strip()
    assert client.get(path).status_code == 200
    assert "_auth_user_id" not in client.session
    assert client.post(path).status_code == 302
    assert client.session["_auth_user_id"] == str(user.pk)
    assert Client().post(path).status_code == 404
    assert Client().get("/login/link/made:up/").status_code == 404
    verbs = list(AuditEntry.objects.order_by("pk").values_list("verb", flat=True))
    assert verbs[-2:] == ["person.link_created", "person.signed_in"]
    with pytest.raises(CommandError, match="Unknown member"):
        call_command("create_sign_in_link", "nobody")


def test_without_a_configuration_there_is_no_button(client: Client) -> None:
    assert "sso" not in client.get("/login/").content.decode()
    assert client.get("/login/sso/").status_code == 404
    assert client.get("/login/sso/callback/").status_code == 404


@pytest.mark.parametrize(
    ("pairs", "complaint"),
    [(["ops=king"], "GROUP=ROLE"), (["ops"], "GROUP=ROLE"), (["=viewer"], "GROUP=ROLE")],
)
def test_wrong_roles_are_one_line(pairs: list[str], complaint: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=complaint):
        sign_on.roles(pairs)


def test_half_a_configuration_is_one_line() -> None:
    roles = sign_on.roles(["cn=ops,dc=x=operator"])
    assert roles == [("cn=ops,dc=x", "operator")]
    with pytest.raises(ImproperlyConfigured, match="OIDC_CLIENT_SECRET"):
        sign_on.check("https://id.example", "debrief", "", roles=roles, only=False)
    with pytest.raises(ImproperlyConfigured, match="needs OIDC_ISSUER"):
        sign_on.check("", "", "", roles=[], only=True)
    with pytest.raises(ImproperlyConfigured, match="https://"):
        sign_on.check("http://id.example", "debrief", "s", roles=roles, only=False)
    sign_on.check("", "", "", roles=[], only=False)
    sign_on.check("http://127.0.0.1:9", "debrief", "s", roles=roles, only=True)
