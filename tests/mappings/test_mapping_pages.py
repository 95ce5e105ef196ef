"""Mappings are saved only where values can fit, and edited on their page."""

import json

import pytest
from django.test import Client

from apps.accounts.actors import Actor
from apps.accounts.models import AuditEntry, Role
from apps.agents.models import Agent
from apps.mappings.models import Mapping
from apps.mappings.services import InvalidMapping, MappingExists, delete_mapping, save_mapping
from tests.api.conftest import Caller
from tests.factories import client_as, edit_draft, make_agent, make_contact_field, make_mapping

pytestmark = pytest.mark.django_db

BY = Actor.system("tests")
SCHEMA = {
    "type": "object",
    "properties": {
        "plan": {"type": "string", "enum": ["free", "pro"]},
        "seats": {"type": "integer"},
        "note": {"type": "string"},
        "extra": {"type": "object", "properties": {}},
    },
}


@pytest.fixture
def agent() -> Agent:
    agent = make_agent()
    edit_draft(agent, schema=SCHEMA)
    return agent


@pytest.fixture
def editor() -> Client:
    return client_as(Role.EDITOR)


def save(agent: Agent | None, analysis_field: str, contact_field: str, mode: str) -> Mapping:
    return save_mapping(
        agent=agent, analysis_field=analysis_field, contact_field=contact_field, mode=mode, by=BY
    )


class TestService:
    def test_a_mapping_is_saved_changed_and_deleted(self, agent: Agent) -> None:
        make_contact_field("tier")
        mapping = save(agent, "plan", "tier", "overwrite")
        save_mapping(
            mapping=mapping,
            agent=None,
            analysis_field="note",
            contact_field="tier",
            mode="accumulate",
            by=BY,
        )
        stored = Mapping.objects.get()
        assert (stored.agent, stored.analysis_field, stored.mode) == (None, "note", "accumulate")
        assert stored.public_id.startswith("map_")
        delete_mapping(mapping=stored, by=BY)
        verbs = AuditEntry.objects.filter(verb__startswith="mapping.").order_by("pk")
        assert [e.verb.split(".")[1] for e in verbs] == ["created", "changed", "deleted"]

    @pytest.mark.parametrize(
        ("saved", "where", "words"),
        [
            (
                ("topik", "tier", "overwrite"),
                "analysis_field",
                "Unknown analysis field “topik”. Fie",
            ),
            (
                ("plan", "phone_number", "overwrite"),
                "contact_field",
                "Unknown contact field “phone_",
            ),
            (("plan", "tier", "merge"), "mode", "mode must be one of overwrite, fill_if_empty"),
            (("extra", "tier", "overwrite"), "contact_field", "“Tier” is of type text, which no"),
            (
                ("seats", "renewal", "overwrite"),
                "contact_field",
                "“Renewal” is of type date, which",
            ),
            (
                ("plan", "level", "overwrite"),
                "contact_field",
                "“Level” is of type choice, which no",
            ),
            (("seats", "level", "accumulate"), "mode", "Only custom fields of type text can"),
            (("note", "first_name", "accumulate"), "mode", "Only custom fields of type text can"),
        ],
    )
    def test_what_can_never_fit_is_rejected_with_a_message(
        self, agent: Agent, saved: tuple[str, str, str], where: str, words: str
    ) -> None:
        make_contact_field("tier")
        make_contact_field("renewal", "date")
        make_contact_field("level", "choice", choices=["gold", "silver"])
        with pytest.raises(InvalidMapping) as raised:
            save(agent, *saved)
        assert list(raised.value.fields) == [where]
        assert raised.value.fields[where].startswith(words)
        assert not Mapping.objects.exists()

    def test_a_contact_field_has_one_mapping_per_agent_and_one_for_all(self, agent: Agent) -> None:
        make_contact_field("tier")
        save(agent, "plan", "tier", "overwrite")
        save(None, "plan", "tier", "overwrite")
        for scope in (agent, None):
            with pytest.raises(MappingExists):
                save(scope, "note", "tier", "overwrite")


class TestPages:
    def test_an_editor_creates_edits_and_deletes_a_mapping(
        self, agent: Agent, editor: Client
    ) -> None:
        make_contact_field("tier")
        assert "No mappings yet" in editor.get("/mappings/").text
        form = {"analysis_field": "plan", "contact_field": "tier", "mode": "overwrite", "agent": ""}
        editor.post("/mappings/new/", form)
        mapping = Mapping.objects.get()
        assert "All agents" in editor.get("/mappings/").text
        editor.post(f"/mappings/{mapping.public_id}/edit/", {**form, "agent": agent.public_id})
        assert Mapping.objects.get().agent == agent
        assert agent.name in editor.get("/mappings/").text
        editor.post(f"/mappings/{mapping.public_id}/delete/")
        assert not Mapping.objects.exists()

    def test_a_wrong_field_is_named_at_its_place_and_nothing_is_lost(
        self, agent: Agent, editor: Client
    ) -> None:
        make_contact_field("tier")
        form = {"analysis_field": "topik", "contact_field": "tier", "mode": "fill_if_empty"}
        text = editor.post("/mappings/new/", form).text
        assert "Unknown analysis field “topik”" in text
        assert 'value="topik"' in text
        assert not Mapping.objects.exists()

    def test_a_viewer_reads_only(self, agent: Agent) -> None:
        viewer = client_as(Role.VIEWER)
        assert "New mapping" not in viewer.get("/mappings/").text
        assert viewer.get("/mappings/new/").status_code == 403


class TestApi:
    def test_a_mapping_is_created_listed_and_deleted(self, agent: Agent) -> None:
        make_contact_field("tier")
        caller = Caller(Role.EDITOR)
        body = {"analysis_field": "plan", "contact_field": "tier", "agent_id": agent.public_id}
        created = caller.post("/mappings", {**body, "mode": "fill_if_empty"})
        assert created.status_code == 201
        shown = json.loads(created.content)
        assert shown == {"id": shown["id"], **body, "mode": "fill_if_empty"}
        assert json.loads(caller.get("/mappings").content)["items"] == [shown]
        again = caller.post("/mappings", body)
        assert (again.status_code, json.loads(again.content)["error"]["code"]) == (
            409,
            "mapping_exists",
        )
        assert caller.send("DELETE", f"/mappings/{shown['id']}").status_code == 204
        assert json.loads(caller.get("/mappings").content)["items"] == []

    def test_a_wrong_field_is_named(self, agent: Agent) -> None:
        body = {"analysis_field": "topik", "contact_field": "email"}
        refused = Caller(Role.EDITOR).post("/mappings", body)
        assert refused.status_code == 422
        assert "analysis_field" in json.loads(refused.content)["error"]["fields"]


def test_the_list_is_loaded_again_after_a_mapping_is_deleted() -> None:
    client = client_as(Role.EDITOR)
    mapping = make_mapping("call_summary", "last_name")
    trigger = "mappings:changed from:body"
    assert trigger in client.get("/mappings/").text

    done = client.post(f"/mappings/{mapping.public_id}/delete/", headers={"HX-Request": "true"})

    assert "mappings:changed" in done["HX-Trigger"]
