import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.utils import timezone

from apps.accounts import services
from apps.accounts.actors import Actor
from apps.accounts.models import AuditEntry, IdempotencyKey, LoginThrottle, Role, User
from apps.accounts.services import LastAdmin, UsernameTaken, WeakPassword
from apps.accounts.tasks import purge
from tests.accounts.conftest import MakePerson

pytestmark = pytest.mark.django_db


def _verbs() -> list[str]:
    return list(AuditEntry.objects.order_by("pk").values_list("verb", flat=True))


def _change(user: User, by: Actor, role: Role, **more: str) -> None:
    values = {"email": "", "first_name": "", "last_name": ""} | more
    services.change_user(user=user, by=by, role=role, **values)


class TestCreate:
    def test_with_a_password(self, by: Actor) -> None:
        user = services.create_user(
            username="ada", role=Role.EDITOR, by=by, password="a good password"
        )

        assert user.check_password("a good password")
        assert _verbs() == ["person.created"]

    def test_without_one_nobody_gets_in_yet(self, by: Actor) -> None:
        assert not services.create_user(
            username="ada", role=Role.VIEWER, by=by
        ).has_usable_password()

    def test_a_name_is_taken_in_any_case(self, by: Actor, person: MakePerson) -> None:
        person("Ada")

        with pytest.raises(UsernameTaken, match="ada") as refused:
            services.create_user(username="ada", role=Role.VIEWER, by=by)
        assert set(refused.value.fields) == {"username"}
        assert _verbs() == []

    def test_a_password_has_to_pass_the_rules(self, by: Actor) -> None:
        with pytest.raises(WeakPassword, match="too short"):
            services.create_user(username="ada", role=Role.VIEWER, by=by, password="x")
        assert not User.objects.exists()


class TestChange:
    def test_is_audited_with_old_and_new(self, by: Actor, person: MakePerson) -> None:
        user = person("ada", Role.VIEWER)

        _change(user, by, Role.EDITOR, email="ada@example.com")

        user.refresh_from_db()
        assert (user.role, user.email) == ("editor", "ada@example.com")
        assert AuditEntry.objects.get().detail == {
            "role": ["viewer", "editor"],
            "email": ["", "ada@example.com"],
        }

    def test_of_nothing_writes_nothing(self, by: Actor, person: MakePerson) -> None:
        _change(person("ada", Role.EDITOR), by, Role.EDITOR)

        assert _verbs() == []

    def test_a_superuser_lowered_is_none_any_more(
        self, by: Actor, person: MakePerson, admin: User
    ) -> None:
        user = User.objects.create_superuser("boss")

        _change(user, by, Role.OPERATOR)

        user.refresh_from_db()
        assert user.effective_role is Role.OPERATOR

    def test_the_last_admin_keeps_the_role(
        self, by: Actor, person: MakePerson, admin: User
    ) -> None:
        person("former", Role.ADMIN, is_active=False)

        with pytest.raises(LastAdmin, match="root is the only active admin"):
            _change(admin, by, Role.EDITOR)

    def test_with_another_admin_it_may_go(self, by: Actor, person: MakePerson, admin: User) -> None:
        person("second", Role.ADMIN)

        _change(admin, by, Role.EDITOR)

        assert not admin.is_staff


class TestActive:
    def test_out_and_in_again(self, by: Actor, person: MakePerson, admin: User) -> None:
        user = person("ada")

        services.set_active(user=user, active=False, by=by)
        services.set_active(user=user, active=False, by=by)
        services.set_active(user=user, active=True, by=by)

        assert _verbs() == ["person.deactivated", "person.activated"]

    def test_the_last_admin_stays_in(self, by: Actor, admin: User) -> None:
        with pytest.raises(LastAdmin):
            services.set_active(user=admin, active=False, by=by)
        admin.refresh_from_db()
        assert admin.is_active


@pytest.mark.django_db(transaction=True)
def test_two_admins_who_lower_each_other_at_once_leave_one(by: Actor, person: MakePerson) -> None:
    users = [person("one", Role.ADMIN), person("two", Role.ADMIN)]
    start = threading.Barrier(2)

    def lower(user: User) -> None:
        start.wait()
        try:
            _change(user, by, Role.VIEWER)
        except LastAdmin:
            pass
        finally:
            connection.close()

    threads = [threading.Thread(target=lower, args=(user,)) for user in users]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert User.objects.filter(role=Role.ADMIN).count() == 1


def test_the_hourly_task_deletes_what_is_out_of_date() -> None:
    now = timezone.now()
    kept = {"actor": "a", "path": "/", "request_sha256": "0" * 64}
    IdempotencyKey.objects.create(key="old", created_at=now - timedelta(hours=25), **kept)
    IdempotencyKey.objects.create(key="new", created_at=now - timedelta(hours=23), **kept)
    LoginThrottle.objects.create(key="k", failures=1, ends_at=datetime(2020, 1, 1, tzinfo=UTC))

    purge()

    assert IdempotencyKey.objects.get().key == "new"
    assert not LoginThrottle.objects.exists()
