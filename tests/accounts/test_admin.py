import pytest
from django.test import Client

from apps.accounts.actors import Actor
from apps.accounts.keys import create_api_key
from apps.accounts.models import AuditEntry, Role, User
from tests.accounts.conftest import MakePerson

pytestmark = pytest.mark.django_db


def _user_form(user: User, **more: str) -> dict[str, str]:
    values = {"username": user.username, "role": user.role, "is_active": "on"}
    return values | {"first_name": "", "last_name": "", "email": ""} | more


def test_says_whose_it_is(as_admin: Client) -> None:
    assert "Debrief · Django admin" in as_admin.get("/admin/").text


def test_strangers_sign_in_on_our_own_page(client: Client) -> None:
    response = client.get("/admin/login/?next=/admin/accounts/user/")

    assert response.headers["Location"] == "/login/?next=/admin/accounts/user/"


def test_signing_out_leads_to_our_own_page(as_admin: Client) -> None:
    assert as_admin.post("/admin/logout/").headers["Location"] == "/login/"


@pytest.mark.parametrize("name", ["user", "apikey", "auditentry"])
def test_lists_open(as_admin: Client, admin: User, by: Actor, name: str) -> None:
    create_api_key(name="Export", role=Role.VIEWER, by=by)

    assert as_admin.get(f"/admin/accounts/{name}/").status_code == 200


def test_keys_show_no_hash(as_admin: Client, by: Actor) -> None:
    key, _ = create_api_key(name="Export", role=Role.VIEWER, by=by)

    page = as_admin.get(f"/admin/accounts/apikey/{key.pk}/change/").text

    assert key.prefix in page
    assert key.sha256 not in page


def test_entries_are_read_only(as_admin: Client, by: Actor) -> None:
    create_api_key(name="Export", role=Role.VIEWER, by=by)
    entry = AuditEntry.objects.get()

    assert 'name="_save"' not in as_admin.get(f"/admin/accounts/auditentry/{entry.pk}/change/").text
    assert as_admin.post(f"/admin/accounts/auditentry/{entry.pk}/delete/").status_code == 403


def test_a_change_of_a_person_is_audited_here_too(as_admin: Client, person: MakePerson) -> None:
    ada = person("ada")

    response = as_admin.post(
        f"/admin/accounts/user/{ada.pk}/change/", _user_form(ada, role="editor")
    )

    assert response.status_code == 302
    entry = AuditEntry.objects.get()
    assert (entry.who, entry.verb, entry.target) == ("root", "user.changed", f"user_{ada.pk}")


@pytest.mark.parametrize("loss", [{"role": "viewer"}, {"is_active": ""}])
def test_the_last_admin_stays_one(as_admin: Client, admin: User, loss: dict[str, str]) -> None:
    response = as_admin.post(f"/admin/accounts/user/{admin.pk}/change/", _user_form(admin, **loss))

    assert "is the only active admin" in response.text
    admin.refresh_from_db()
    assert admin.has_perm("any")


def test_a_person_is_added(as_admin: Client) -> None:
    values = {"username": "ada", "role": "editor", "usable_password": "true"}
    password = {"password1": "a good password", "password2": "a good password"}

    response = as_admin.post("/admin/accounts/user/add/", values | password)

    assert response.status_code == 302
    assert AuditEntry.objects.get().verb == "user.created"


@pytest.mark.parametrize(
    "query",
    [
        "at__year=" + "9" * 5,
        "at__year=" + "9" * 25,
        "at__year=0",
        "at__year=-1",
        "at__year=x",
        "at__year=2026&at__month=13",
        "at__year=2026&at__month=2&at__day=31",
        "at__year=2026&at__month=" + "9" * 20,
        "at__gte=nonsense",
        "at__gte=99999-01-01",
        "id__exact=" + "9" * 40,
        "id__exact=" + "9" * 5_000,
        "q=%00",
        "purpose=%00",
        "p=" + "9" * 30,
        "p=" + "9" * 5_000,
        "p=-1",
        "o=" + "9" * 30,
        "o=x.y",
        "nothing__exact=1",
        "e=1",
    ],
)
def test_absurd_addresses_of_a_list_are_pages_or_not_found(as_admin: Client, query: str) -> None:
    for path in ("/admin/llm/usage/", "/admin/accounts/auditentry/", "/admin/llm/languagemodel/"):
        assert as_admin.get(f"{path}?{query}", follow=True).status_code in {200, 404}, path
