"""`create_intake_source`: prints the path of the receiver alone."""

import io
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from apps.accounts.models import AuditEntry
from apps.core.cipher import decrypt
from apps.platforms.models import IntakeSource

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    out = io.StringIO()
    call_command("create_intake_source", *arguments, stdout=out)
    return out.getvalue()


def test_the_path_of_the_receiver_stands_alone_on_stdout() -> None:
    said = run("vapi", "Vapi, main", "--secret", "s3cret", "--platform-analysis", "wait")

    source = IntakeSource.objects.get()
    assert said == f"/api/intake/vapi/{source.public_id}\n"
    assert (source.name, source.platform_analysis, source.wait_minutes) == (
        "Vapi, main",
        "wait",
        10,
    )
    assert decrypt(source.secret_encrypted) == "s3cret"
    assert AuditEntry.objects.get().via == "command"


def test_a_secret_may_come_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("s3cret\n"))

    run("retell", "Retell", "--secret", "-")

    assert decrypt(IntakeSource.objects.get().secret_encrypted) == "s3cret"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["fax", "Name", "--secret", "s"], "invalid choice"),
        (["vapi", "Name"], "--secret"),
        (["vapi", "", "--secret", "s"], "Enter a name"),
        (["elevenlabs", "Name", "--secret", " "], "The secret is empty"),
        (["vapi", "Taken", "--secret", "s"], "A source named “Taken” already exists"),
        (["vapi", "Name", "--secret", "s", "--platform-analysis", "both"], "invalid choice"),
        (["vapi", "Name", "--secret", "s", "--wait-minutes", "0"], "not 0"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_made(arguments: list[Any], says: str) -> None:
    run("retell", "Taken", "--secret", "s")

    with pytest.raises(CommandError, match=says):
        run(*arguments)

    assert IntakeSource.objects.count() == 1
