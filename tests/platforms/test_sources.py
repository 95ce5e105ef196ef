"""Intake sources: made, changed, mapped and removed, each with its entry in the audit log."""

from typing import Any

import pytest

from apps.accounts.actors import Actor
from apps.accounts.models import AuditEntry
from apps.conversations.models import Conversation
from apps.core.cipher import decrypt
from apps.platforms.models import IntakePayload, IntakeSource, SourceAgent
from apps.platforms.sources import (
    NameTaken,
    SourceRefused,
    change_source,
    create_source,
    generate_secret,
    map_agent,
    remove_source,
    set_secret,
    webhook_path,
)
from tests.factories import make_agent, make_conversation

pytestmark = pytest.mark.django_db

BY = Actor.command("tests")


def make(**values: Any) -> IntakeSource:
    return create_source(
        **{"kind": "retell", "name": "Retell, main", "secret": "key_1", "by": BY, **values}
    )


def verbs() -> list[str]:
    return list(AuditEntry.objects.order_by("pk").values_list("verb", flat=True))


def test_a_source_has_a_receiver_and_an_encrypted_secret() -> None:
    source = make(name="  Retell, main ", platform_analysis="wait", wait_minutes=30)

    stored = IntakeSource.objects.get()
    assert stored.name == "Retell, main"
    assert (stored.platform_analysis, stored.wait_minutes) == ("wait", 30)
    assert b"key_1" not in bytes(stored.secret_encrypted)
    assert decrypt(stored.secret_encrypted) == "key_1"
    assert stored.secret_set_at is not None
    assert stored.created_by == BY.label
    assert webhook_path(source) == f"/api/intake/retell/{stored.public_id}"
    (entry,) = AuditEntry.objects.all()
    assert (entry.verb, entry.target) == ("intake_source.created", source.public_id)
    assert "key_1" not in str(entry.detail)


def test_a_platform_that_names_its_secret_later_gets_its_url_first() -> None:
    source = make(kind="elevenlabs", secret="")

    assert source.secret_set_at is None
    assert len(decrypt(source.secret_encrypted)) > 30  # nobody has it, so nothing is let in

    set_secret(source=source, secret=" wsec_abc ", by=BY)

    stored = IntakeSource.objects.get()
    assert stored.secret_set_at is not None
    assert decrypt(stored.secret_encrypted) == "wsec_abc"
    assert verbs()[-1] == "intake_source.secret_set"


@pytest.mark.parametrize(
    ("values", "field", "says"),
    [
        ({"kind": "fax"}, "kind", "not “fax”"),
        ({"name": " "}, "name", "Enter a name"),
        ({"name": "x" * 101}, "name", "101 characters"),
        ({"name": "a\nb"}, "name", "control character"),
        ({"secret": " "}, "secret", "Enter the secret"),
        ({"kind": "vapi", "secret": ""}, "secret", "Enter the secret"),
        ({"secret": "two words"}, "secret", "spaces or invalid characters"),
        ({"secret": "schlüssel"}, "secret", "Copy it again"),
        ({"secret": "x" * 501}, "secret", "501 characters"),
        ({"platform_analysis": "both"}, "platform_analysis", "not “both”"),
        ({"wait_minutes": 0}, "wait_minutes", "not 0"),
        ({"wait_minutes": 1441}, "wait_minutes", "not 1,441"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(values: dict[str, Any], field: str, says: str) -> None:
    with pytest.raises(SourceRefused) as refused:
        make(**values)

    assert list(refused.value.fields) == [field]
    assert says in refused.value.fields[field]
    assert not IntakeSource.objects.exists()
    assert verbs() == []


def test_two_sources_never_share_a_name() -> None:
    other = make(name="Second")
    make()

    with pytest.raises(NameTaken, match="Retell, main"):
        make(kind="vapi")
    with pytest.raises(NameTaken, match="Choose another"):
        change_source(source=other, name="Retell, main", by=BY)
    assert IntakeSource.objects.count() == 2


def test_a_change_says_what_it_was_before_and_one_that_is_none_says_nothing() -> None:
    source = make()

    change_source(source=source, platform_analysis="wait", wait_minutes=5, by=BY)
    changed = change_source(source=source, name="Retell, main", by=BY)

    assert (changed.platform_analysis, changed.wait_minutes) == ("wait", 5)
    assert verbs() == ["intake_source.created", "intake_source.changed"]
    assert AuditEntry.objects.latest("pk").detail == {
        "platform_analysis": ["ours", "wait"],
        "wait_minutes": [10, 5],
    }


@pytest.mark.parametrize("secret", ["", "two words"])
def test_a_secret_that_cannot_be_one_leaves_the_old_one(secret: str) -> None:
    source = make()

    with pytest.raises(SourceRefused):
        set_secret(source=source, secret=secret, by=BY)

    source.refresh_from_db()
    assert decrypt(source.secret_encrypted) == "key_1"


def test_made_secrets_differ_and_are_accepted() -> None:
    first, second = generate_secret(), generate_secret()

    assert first != second
    assert decrypt(make(kind="vapi", secret=first).secret_encrypted) == first


def test_two_of_theirs_are_one_of_ours_until_told_otherwise() -> None:
    source, ours, other = make(), make_agent(), make_agent()
    for theirs in ("agent_1", " agent_2 ", "agent_2"):
        map_agent(source=source, external_id=theirs, agent=ours, by=BY)

    map_agent(source=source, external_id="agent_2", agent=other, by=BY)

    pairs = SourceAgent.objects.values_list("external_id", "agent")
    assert dict(pairs) == {"agent_1": ours.pk, "agent_2": other.pk}
    entries = AuditEntry.objects.filter(verb="intake_source.agent_mapped").order_by("pk")
    assert [entry.detail["before"] for entry in entries] == ["", "", ours.public_id]


@pytest.mark.parametrize("external_id", ["", "x" * 201])
def test_an_agent_without_a_usable_id_is_not_mapped(external_id: str) -> None:
    with pytest.raises(SourceRefused, match="Enter the agent’s id"):
        map_agent(source=make(), external_id=external_id, agent=make_agent(), by=BY)


def test_removing_takes_payloads_and_map_and_leaves_conversations_and_agents() -> None:
    source, agent = make(), make_agent()
    kept = make(name="Second")
    conversation = make_conversation(agent)
    map_agent(source=source, external_id="agent_1", agent=agent, by=BY)
    for of in (source, source, kept):
        IntakePayload.objects.create(source=of, body={}, state="taken", conversation=conversation)

    removed = remove_source(source=source, by=BY)

    assert (removed.payloads, removed.agents) == (2, 1)
    assert list(IntakeSource.objects.all()) == [kept]
    assert IntakePayload.objects.get().source == kept
    assert Conversation.objects.get() == conversation
    agent.refresh_from_db()
    assert AuditEntry.objects.latest("pk").detail["payloads"] == 2
