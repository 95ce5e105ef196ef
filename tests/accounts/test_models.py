from collections.abc import Callable

import pytest
from django.db import IntegrityError, InternalError, connection, transaction
from django.db.utils import DatabaseError

from apps.accounts import audit
from apps.accounts.actors import Actor
from apps.accounts.models import ApiKey, AppendOnlyError, AuditEntry, Role, User
from tests.accounts.conftest import MakePerson

pytestmark = pytest.mark.django_db


def test_each_role_allows_itself_and_the_ones_below() -> None:
    order = [Role.VIEWER, Role.OPERATOR, Role.EDITOR, Role.ADMIN]

    for have, needed in [(a, b) for a in order for b in order]:
        assert have.allows(needed) is (order.index(have) >= order.index(needed))


def test_a_new_person_reads_only(person: MakePerson) -> None:
    assert person().effective_role is Role.VIEWER


def test_a_superuser_is_an_admin() -> None:
    user = User.objects.create_superuser("root")

    assert user.role == Role.VIEWER
    assert user.effective_role is Role.ADMIN


@pytest.mark.parametrize("role", Role)
def test_staff_and_permissions_follow_the_role(person: MakePerson, role: Role) -> None:
    user = person(role=role)

    assert user.is_staff is (role is Role.ADMIN)
    assert user.has_perm("accounts.change_user") is (role is Role.ADMIN)
    assert user.has_module_perms("accounts") is (role is Role.ADMIN)


def test_staff_follows_a_partial_save_of_the_role(person: MakePerson) -> None:
    user = person(role=Role.ADMIN)
    user.role = Role.VIEWER
    user.save(update_fields=["role"])

    user.refresh_from_db()
    assert user.is_staff is False


def test_a_deactivated_admin_has_no_permission(person: MakePerson) -> None:
    assert not person(role=Role.ADMIN, is_active=False).has_perm("accounts.change_user")


def test_a_person_is_named_by_their_full_name_else_by_the_username(person: MakePerson) -> None:
    assert person("ada", first_name="Ada", last_name="Lovelace").label == "Ada Lovelace"
    assert person("bob").label == "bob"


def _refused(constraint: str, make: Callable[[], object]) -> None:
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        make()


def test_constraints_of_people(person: MakePerson) -> None:
    person("ada")

    _refused("user_role_known", lambda: User.objects.bulk_create([User(role="boss")]))
    _refused("user_username_unique_any_case", lambda: person("ADA"))


def test_constraints_of_keys() -> None:
    ok = {"name": "n", "prefix": "dbk_1", "sha256": "a" * 64, "created_by": "x"}
    ApiKey.objects.create(**ok)

    _refused("prefix", lambda: ApiKey.objects.create(**ok))
    ok["prefix"] = "dbk_2"
    _refused("apikey_sha256_is_a_hash", lambda: ApiKey.objects.create(**ok | {"sha256": "plain"}))
    _refused("apikey_role_known", lambda: ApiKey.objects.create(**ok | {"role": "boss"}))


def test_constraints_of_entries() -> None:
    ok = {"who": "a", "via": "web", "verb": "x.y"}
    create = AuditEntry.objects.create

    _refused("audit_via_known", lambda: create(**ok | {"via": "fax"}))
    _refused("audit_says_who_and_what", lambda: create(**ok | {"who": ""}))
    _refused("audit_says_who_and_what", lambda: create(**ok | {"verb": ""}))


def test_entries_are_refused_to_change_in_code(by: Actor) -> None:
    entry = audit.record(by=by, verb="x.y")
    entry.verb = "x.z"

    for change in (
        entry.save,
        entry.delete,
        AuditEntry.objects.all().delete,
        lambda: AuditEntry.objects.update(verb="x.z"),
    ):
        with pytest.raises(AppendOnlyError):
            change()


@pytest.mark.parametrize(
    "statement", ["UPDATE accounts_auditentry SET verb = 'z'", "DELETE FROM accounts_auditentry"]
)
def test_entries_are_refused_to_change_in_the_database(by: Actor, statement: str) -> None:
    audit.record(by=by, verb="x.y")

    with (
        pytest.raises((InternalError, DatabaseError), match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)


def test_entries_are_found_by_verb_room_person_target_and_door(by: Actor) -> None:
    entry = audit.record(by=by, verb="agent.published", target="agt_1")
    audit.record(by=by, verb="agents.other", target="agt_2")
    found = AuditEntry.objects.matching

    assert [*found(verb="agent")] == [*found(verb="agent.published")] == [entry]
    assert [*found(target="agt_1")] == [entry]
    assert found(who="SYSTEM", via="system").count() == 2
    assert not found(via="web").exists()
    assert not found(who="nobody").exists()


def test_names_of_things() -> None:
    assert str(ApiKey(name="Export", prefix="dbk_1")) == "Export (dbk_1…)"
    assert str(AuditEntry(who="Ada", verb="x.y", target="agt_1")) == "Ada: x.y agt_1"
