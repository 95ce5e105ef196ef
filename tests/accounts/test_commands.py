from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from apps.accounts.keys import authenticate_key
from apps.accounts.models import ApiKey, AuditEntry, Role

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("role", Role)
def test_prints_the_key_alone(role: Role) -> None:
    out = StringIO()
    call_command("create_api_key", "Nightly export", "--role", role, stdout=out)

    key = authenticate_key(out.getvalue().removesuffix("\n"))
    assert key is not None
    assert (key.name, key.role) == ("Nightly export", role)
    assert AuditEntry.objects.get().via == "command"


@pytest.mark.parametrize(
    ("name", "role", "says"),
    [("x", "boss", "“boss” isn't a role"), ("", "admin", "required"), ("x" * 101, "admin", "100")],
)
def test_refuses_in_words(name: str, role: Role, says: str) -> None:
    with pytest.raises(CommandError, match=says):
        call_command("create_api_key", name, "--role", role)
    assert not ApiKey.objects.exists()
