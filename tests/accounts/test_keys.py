from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from apps.accounts.actors import Actor
from apps.accounts.keys import KEY, AlreadyRevoked, authenticate_key, create_api_key, revoke_api_key
from apps.accounts.models import ApiKey, AuditEntry, Role

pytestmark = pytest.mark.django_db


@pytest.fixture
def made(by: Actor) -> tuple[ApiKey, str]:
    return create_api_key(name="Export", role=Role.OPERATOR, by=by)


def test_the_secret_is_nowhere_in_the_database(made: tuple[ApiKey, str]) -> None:
    key, secret = made
    key.refresh_from_db()

    assert KEY.fullmatch(secret)
    assert secret.startswith(key.prefix)
    stored = " ".join(str(value) for value in vars(key).values())
    assert secret.removeprefix(key.prefix) not in stored


def test_making_and_revoking_are_audited_without_the_secret(
    made: tuple[ApiKey, str], by: Actor
) -> None:
    key, secret = made
    revoke_api_key(key=key, by=by)

    verbs = AuditEntry.objects.order_by("pk").values_list("verb", flat=True)
    assert list(verbs) == ["api_key.created", "api_key.revoked"]
    assert not any(secret in str(entry.detail) for entry in AuditEntry.objects.all())


@pytest.mark.parametrize("form", ["{}", "Bearer {}", "bearer {}", "  Bearer   {} "])
def test_opens_with_the_right_key(made: tuple[ApiKey, str], form: str) -> None:
    key, secret = made

    assert authenticate_key(form.format(secret)) == key


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Basic abc", "dbk_", "\0", "dbk_aaaaaaaa_" + "é" * 43, "x" * 9999],
)
def test_nonsense_opens_nothing_and_asks_nothing(
    made: tuple[ApiKey, str], header: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(0):
        assert authenticate_key(header) is None


def test_a_wrong_secret_and_an_unknown_key_open_nothing(made: tuple[ApiKey, str]) -> None:
    _, secret = made
    last = "a" if secret[-1] != "a" else "b"

    assert authenticate_key(secret[:-1] + last) is None
    assert authenticate_key("dbk_00000000_" + secret[-43:]) is None


def test_a_revoked_key_opens_nothing_and_cannot_be_revoked_twice(
    made: tuple[ApiKey, str], by: Actor
) -> None:
    key, secret = made
    revoke_api_key(key=key, by=by)

    assert authenticate_key(secret) is None
    with pytest.raises(AlreadyRevoked, match="Export"):
        revoke_api_key(key=key, by=by)


def test_its_use_is_noted_once_a_minute(
    made: tuple[ApiKey, str], django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    key, secret = made
    with django_assert_num_queries(2):
        authenticate_key(secret)
    with django_assert_num_queries(1):
        authenticate_key(secret)

    ApiKey.objects.update(last_used_at=timezone.now() - timedelta(seconds=61))
    with django_assert_num_queries(2):
        authenticate_key(secret)
    key.refresh_from_db()
    assert key.last_used_at is not None
    assert timezone.now() - key.last_used_at < timedelta(seconds=10)
