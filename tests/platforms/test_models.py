"""What the database itself holds of sources and payloads."""

from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.test import Client

from apps.accounts.models import Role, User
from apps.platforms.models import IntakePayload, IntakeSource, PayloadState, SourceAgent
from tests.factories import make_agent, make_conversation

pytestmark = pytest.mark.django_db


def make_source(**values: Any) -> IntakeSource:
    return IntakeSource.objects.create(
        **{
            "kind": "retell",
            "name": "Retell, main account",
            "secret_encrypted": b"ciphertext",
            "created_by": "tests",
            **values,
        }
    )


@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        ({"kind": "fax"}, "intake_source_kind_known"),
        ({"name": ""}, "intake_source_name_given"),
        ({"secret_encrypted": b""}, "intake_source_secret_given"),
        ({"platform_analysis": "both"}, "intake_source_analysis_known"),
        ({"wait_minutes": 0}, "intake_source_wait_range"),
        ({"wait_minutes": 1441}, "intake_source_wait_range"),
    ],
)
def test_sources_refused(values: dict[str, Any], constraint: str) -> None:
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        make_source(**values)


def test_sources_taken_once_by_name() -> None:
    source = make_source(platform_analysis="wait", wait_minutes=1440)

    assert source.public_id.startswith("in_")
    with pytest.raises(IntegrityError, match="name"), transaction.atomic():
        make_source(kind="vapi")


def test_one_of_their_agents_is_one_of_ours() -> None:
    source, agent = make_source(), make_agent()
    map_to = SourceAgent.objects.create
    map_to(source=source, external_id="agent_1", agent=agent)
    map_to(source=source, external_id="agent_2", agent=agent)
    map_to(source=make_source(name="Second"), external_id="agent_1", agent=make_agent())

    with pytest.raises(IntegrityError, match="source_agent_external_id_once"), transaction.atomic():
        map_to(source=source, external_id="agent_1", agent=make_agent())
    with (
        pytest.raises(IntegrityError, match="source_agent_external_id_given"),
        transaction.atomic(),
    ):
        map_to(source=source, external_id="", agent=agent)


@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        ({"state": "lost"}, "intake_payload_refused_with_reason"),
        ({"state": "refused"}, "intake_payload_refused_with_reason"),
        ({"reason": "No call in it."}, "intake_payload_refused_with_reason"),
        ({"body": None}, "intake_payload_one_body"),
        ({"raw": b"{}"}, "intake_payload_one_body"),
    ],
)
def test_payloads_refused(values: dict[str, Any], constraint: str) -> None:
    source = make_source()
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        IntakePayload.objects.create(
            **{"source": source, "body": {}, "state": PayloadState.TAKEN, **values}
        )


def test_what_jsonb_cannot_hold_is_kept_byte_by_byte() -> None:
    hostile = b'{"transcript": "\\u0000 \\ud800"'
    IntakePayload.objects.create(
        source=make_source(), raw=hostile, state=PayloadState.REFUSED, reason="It is not JSON."
    )

    raw = IntakePayload.objects.get().raw
    assert raw is not None
    assert bytes(raw) == hostile


def test_an_admin_sees_a_refused_payload_but_no_secret(client: Client) -> None:
    client.force_login(User.objects.create_user("root", role=Role.ADMIN))
    refused = IntakePayload.objects.create(
        source=make_source(), raw=b"caf\xe9 <b>", state=PayloadState.REFUSED, reason="Not JSON."
    )

    payload = client.get(f"/admin/platforms/intakepayload/{refused.pk}/change/").text
    source = client.get(f"/admin/platforms/intakesource/{refused.source_id}/change/").text

    assert "caf\\xe9 &lt;b&gt;" in payload
    assert "Retell, main account" in source
    assert "secret" not in source.lower()


def test_a_source_with_payloads_is_kept() -> None:
    source = make_source()
    IntakePayload.objects.create(source=source, body={}, state=PayloadState.TAKEN)

    with pytest.raises(ProtectedError):
        source.delete()


def test_erasing_a_conversation_takes_its_payloads_along() -> None:
    conversation = make_conversation(make_agent())
    source = make_source()
    for of in (conversation, None):
        IntakePayload.objects.create(
            source=source, body={}, state=PayloadState.TAKEN, conversation=of
        )

    conversation.delete()

    assert IntakePayload.objects.get().conversation is None
