"""Making, saving, publishing and restoring agents."""

import json
from typing import Any

import pytest

from apps.accounts.models import AuditEntry
from apps.agents import services
from apps.agents.models import Agent, AgentVersion, AnalysisConfig, ConfigSave
from apps.agents.services import Stamp
from apps.core.errors import NotFound
from tests.factories.drafts import ADA, BEN, TOPIC, agent, draft, language_model, with_fields

pytestmark = pytest.mark.django_db

INSTRUCTIONS: dict[str, Any] = {"analysis": {"instructions": "Be brief."}}


def test_a_new_agent_has_a_draft_that_works_as_it_is() -> None:
    made = agent()
    version = draft(made)
    assert (version.number, version.is_draft, version.save_count) == (0, True, 1)
    document = services.draft_document(version)
    assert list(document["analysis"]["built_ins"]) == [
        "call_summary",
        "call_successful",
        "user_sentiment",
    ]
    assert all(
        item["enabled"] and item["required"] and item["prompt"]
        for item in document["analysis"]["built_ins"].values()
    )
    assert document["columns"] == {
        "summary": "call_summary",
        "outcome": "call_successful",
        "sentiment": "user_sentiment",
    }
    assert document["post_analysis"]["chat_idle_seconds"] == 3600
    assert AuditEntry.objects.get(verb="agent.created").target == made.public_id


def test_a_chat_has_the_categories_of_a_chat() -> None:
    document = services.draft_document(draft(agent(channel="chat")))
    assert next(iter(document["analysis"]["built_ins"])) == "chat_summary"


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"name": "  "}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"channel": "fax"}, "channel"),
        ({"model": "no-such"}, "analysis.model"),
    ],
)
def test_an_agent_that_cannot_be_made(values: dict[str, str], place: str) -> None:
    given: dict[str, Any] = {"name": "A", "channel": "voice", "model": language_model(), **values}
    with pytest.raises(services.InvalidDraft) as refused:
        services.create_agent(**given, by=ADA)
    assert place in refused.value.fields
    assert not Agent.objects.exists()


def test_without_a_model_the_default_one_is_taken(settings: Any) -> None:
    settings.DEFAULT_MODEL = "brand-new"
    made = services.create_agent(name="A", channel="voice", by=ADA)
    model = draft(made).config.model
    assert model.name == "brand-new"
    assert not model.price_known


def test_a_save_keeps_what_it_does_not_name() -> None:
    made = agent()
    services.save_draft(agent=made, changes=with_fields(topic=TOPIC), by=ADA)
    result = services.save_draft(agent=made, changes=INSTRUCTIONS, by=BEN)
    assert result.changed
    version = draft(made)
    assert version.config.parsed().instructions == ("Be brief.",)
    assert list(version.config.parsed().own_fields()) == ["topic"]
    assert (version.save_count, version.saved_by) == (3, "Ben")
    assert [save.by for save in version.saves.all()] == ["Ben", "Ada", "Ada"]
    assert AuditEntry.objects.filter(verb="agent.draft_saved").count() == 2


def test_a_save_that_changes_nothing_writes_nothing() -> None:
    made = agent(**INSTRUCTIONS)
    before = draft(made)
    whole = services.draft_document(before)
    result = services.save_draft(agent=made, changes=whole, by=BEN, expected=Stamp(0, 1))
    assert not result.changed
    assert draft(made).save_count == before.save_count
    assert draft(made).saved_by == "Ada"
    assert ConfigSave.objects.count() == 2
    assert AnalysisConfig.objects.count() == 2


def test_another_order_of_fields_is_a_change_of_keywords_is_not() -> None:
    made = agent(**with_fields(a={"type": "string", "description": "A"}, b={"type": "boolean"}))
    keywords = with_fields(a={"description": "A", "type": "string"}, b={"type": "boolean"})
    assert not services.save_draft(agent=made, changes=keywords, by=ADA).changed
    fields = with_fields(b={"type": "boolean"}, a={"type": "string", "description": "A"})
    result = services.save_draft(agent=made, changes=fields, by=ADA)
    assert result.diff.summary == "1 field changed"
    assert list(draft(made).config.parsed().own_fields()) == ["b", "a"]


def test_true_and_one_are_not_the_same() -> None:
    made = agent(**with_fields(a={"enum": [1]}))
    assert services.save_draft(agent=made, changes=with_fields(a={"enum": [True]}), by=ADA).changed


def test_a_prompt_goes_back_to_the_default() -> None:
    made = agent(analysis={"built_ins": {"call_summary": {"prompt": "Five words."}}})
    assert draft(made).config.parsed().built_ins[0].prompt == "Five words."
    for empty in (None, "", "  "):
        change = {"analysis": {"built_ins": {"call_summary": {"prompt": empty}}}}
        services.save_draft(agent=made, changes=change, by=ADA)
        assert draft(made).config.parsed().built_ins[0].prompt.startswith("Write a summary")


def test_a_prompt_that_is_switched_off_is_kept() -> None:
    made = agent(analysis={"built_ins": {"call_summary": {"prompt": "Five words."}}})
    off = {"analysis": {"built_ins": {"call_summary": {"enabled": False}}}}
    services.save_draft(agent=made, changes=off, by=ADA)
    assert "call_summary" not in draft(made).config.parsed().field_names()
    on = {"analysis": {"built_ins": {"call_summary": {"enabled": True}}}}
    services.save_draft(agent=made, changes=on, by=ADA)
    assert draft(made).config.parsed().built_ins[0].prompt == "Five words."


@pytest.mark.parametrize(
    "text",
    [
        "  leading\n\n  lines\t",
        "📞 emoji 👩‍👩‍👧",
        "עברית و عربية",
        "<b>{{ x }}{% y %}</b> &amp;",
        "${a}",
    ],
)
def test_prompts_are_kept_word_for_word(text: str) -> None:
    made = agent(analysis={"instructions": text})
    assert services.draft_document(draft(made))["analysis"]["instructions"] == text


def test_line_ends_of_a_browser_are_made_one() -> None:
    made = agent(analysis={"instructions": "a\r\nb\rc"})
    assert services.draft_document(draft(made))["analysis"]["instructions"] == "a\nb\nc"


def test_columns_follow_what_is_switched_off_and_on() -> None:
    made = agent(**with_fields(summary={"type": "string"}, topic=dict(TOPIC)))
    off = {"analysis": {"built_ins": {"call_summary": {"enabled": False}}}}
    services.save_draft(agent=made, changes=off, by=ADA)
    assert draft(made).summary_field == "summary"
    on = {"analysis": {"built_ins": {"call_summary": {"enabled": True}}}}
    services.save_draft(agent=made, changes=on, by=ADA)
    assert draft(made).summary_field == "call_summary"


def test_a_column_that_somebody_chose_stays_until_its_field_goes() -> None:
    made = agent(**with_fields(topic=dict(TOPIC)))
    services.save_draft(agent=made, changes={"columns": {"outcome": "topic"}}, by=ADA)
    services.save_draft(agent=made, changes=INSTRUCTIONS, by=ADA)
    assert draft(made).outcome_field == "topic"
    services.save_draft(agent=made, changes={"columns": {"summary": ""}}, by=ADA)
    services.save_draft(agent=made, changes={"analysis": {"instructions": "x"}}, by=ADA)
    assert draft(made).summary_field == ""
    services.save_draft(agent=made, changes=with_fields(other={"type": "string"}), by=ADA)
    assert draft(made).outcome_field == "call_successful"


def test_the_second_editor_is_told_and_overwrites_nothing() -> None:
    made = agent()
    services.save_draft(agent=made, changes=INSTRUCTIONS, by=ADA, expected=Stamp(0, 1))
    mine = {"analysis": {"instructions": "Be long."}}
    with pytest.raises(services.DraftConflict) as refused:
        services.save_draft(agent=made, changes=mine, by=BEN, expected=Stamp(0, 1))
    conflict = refused.value
    assert (conflict.saved_by, conflict.stamp) == ("Ada", Stamp(0, 2))
    assert conflict.theirs.changes[0].after == "Be brief."
    assert (conflict.mine.changes[0].before, conflict.mine.changes[0].after) == (
        "Be brief.",
        "Be long.",
    )
    assert draft(made).config.parsed().instructions == ("Be brief.",)
    services.save_draft(agent=made, changes=mine, by=BEN, expected=conflict.stamp)
    assert draft(made).config.parsed().instructions == ("Be long.",)


def test_publishing_freezes_the_draft_and_opens_a_copy() -> None:
    made = agent(**INSTRUCTIONS)
    published = services.publish(agent=made, title=" First ", note="why", by=BEN)
    assert (published.number, published.title, published.published_by) == (0, "First", "Ben")
    following = draft(made)
    assert (following.number, following.save_count) == (1, 1)
    assert following.config_id == published.config_id
    assert services.draft_document(following) == services.draft_document(published)
    entry = AuditEntry.objects.get(verb="agent.published")
    assert entry.detail["version"] == 0


def test_two_clicks_publish_once() -> None:
    made = agent(**INSTRUCTIONS)
    first = services.publish(agent=made, by=ADA, expected_version=0, expected_save_count=2)
    second = services.publish(agent=made, by=ADA, expected_version=0, expected_save_count=2)
    assert first.pk == second.pk
    assert AgentVersion.objects.filter(agent=made).count() == 2


def test_an_unchanged_draft_is_not_published_again() -> None:
    made = agent()
    services.publish(agent=made, by=ADA)
    with pytest.raises(services.NothingToPublish, match="V1 draft has no changes since V0"):
        services.publish(agent=made, by=ADA)


def test_publishing_what_somebody_else_changed_meanwhile_is_refused() -> None:
    made = agent()
    services.save_draft(agent=made, changes=INSTRUCTIONS, by=BEN)
    with pytest.raises(services.DraftConflict):
        services.publish(agent=made, by=ADA, expected_version=0, expected_save_count=1)


def test_a_draft_whose_model_is_switched_off_is_not_published() -> None:
    made = agent()
    model = language_model()
    model.enabled = False
    model.save()
    with pytest.raises(services.InvalidDraft, match="switched off"):
        services.publish(agent=made, by=ADA)
    assert services.save_draft(agent=made, changes=INSTRUCTIONS, by=ADA).changed


def test_a_model_that_is_switched_off_cannot_be_chosen() -> None:
    made = agent()
    language_model("old-one", enabled=False)
    with pytest.raises(services.InvalidDraft, match="“old-one” is switched off"):
        services.save_draft(agent=made, changes={"analysis": {"model": "old-one"}}, by=ADA)


def test_new_parameters_of_a_model_make_a_new_config_at_the_next_save() -> None:
    made = agent()
    before = draft(made).config.sha256
    model = language_model()
    model.parameters = {"temperature": 0}
    model.save()
    assert services.save_draft(agent=made, changes={}, by=ADA).changed
    assert draft(made).config.sha256 != before


def test_a_save_is_restored_as_a_new_one() -> None:
    made = agent()
    services.save_draft(agent=made, changes=INSTRUCTIONS, by=ADA)
    services.save_draft(
        agent=made,
        changes={**with_fields(topic=dict(TOPIC)), "post_analysis": {"enabled": False}},
        by=ADA,
    )
    first = ConfigSave.objects.order_by("pk")[0]
    result = services.restore_save(agent=made, save_id=first.pk, by=BEN)
    assert result.save is not None
    assert result.save.note.startswith("restored the save of ")
    version = draft(made)
    assert version.config_id == first.config_id
    assert version.post_analysis_enabled
    assert version.save_count == 4


def test_a_published_version_is_restored_into_the_draft() -> None:
    made = agent(**INSTRUCTIONS)
    services.publish(agent=made, by=ADA)
    services.save_draft(agent=made, changes={"analysis": {"instructions": "Other."}}, by=ADA)
    result = services.restore_save(agent=made, version=0, by=ADA)
    assert result.save is not None
    assert result.save.note == "restored V0"
    assert draft(made).config.parsed().instructions == ("Be brief.",)


def test_nothing_of_another_agent_is_restored() -> None:
    made, other = agent(), agent("Other")
    foreign = ConfigSave.objects.get(agent_version__agent=other)
    with pytest.raises(NotFound):
        services.restore_save(agent=made, save_id=foreign.pk, by=ADA)
    for number in (None, 0, 7):
        with pytest.raises(NotFound):
            services.restore_save(agent=made, version=number, by=ADA)


def test_what_a_draft_held_at_each_save_is_known() -> None:
    made = agent(**INSTRUCTIONS)
    base = services.base_content(draft(made), 1)
    assert base is not None
    assert base.editor["instructions"] == ""
    assert services.base_content(draft(made), 0) is None
    assert services.base_content(draft(made), 9) is None


def test_a_deactivated_agent_is_not_edited_until_it_is_reactivated() -> None:
    made = agent()
    services.deactivate(agent=made, by=ADA)
    services.deactivate(agent=made, by=ADA)
    with pytest.raises(services.AgentDeactivated):
        services.save_draft(agent=made, changes=INSTRUCTIONS, by=ADA)
    services.reactivate(agent=made, by=ADA)
    assert services.save_draft(agent=made, changes=INSTRUCTIONS, by=ADA).changed
    assert AuditEntry.objects.filter(verb="agent.deactivated").count() == 1


def test_an_agent_that_a_door_made_is_set_up_by_any_save() -> None:
    made = services.create_agent(
        name="A", channel="voice", by=ADA, model=language_model(), unconfigured=True
    )
    result = services.save_draft(agent=made, changes={}, by=ADA)
    assert not result.changed
    made.refresh_from_db()
    assert not made.unconfigured
    assert AuditEntry.objects.filter(verb="agent.configured").exists()


def test_an_agent_gets_another_name() -> None:
    made = agent()
    assert services.rename_agent(agent=made, name=" New ", by=ADA).name == "New"
    with pytest.raises(services.InvalidDraft):
        services.rename_agent(agent=made, name="", by=ADA)
    assert AuditEntry.objects.get(verb="agent.renamed").detail["before"] == "Billing line"


def test_the_editor_document_keeps_the_order_of_fields() -> None:
    made = agent(**with_fields(z={"type": "string"}, a={"type": "string"}, m={"type": "string"}))
    assert list(json.loads(draft(made).editor_document)["schema"]["properties"]) == ["z", "a", "m"]
