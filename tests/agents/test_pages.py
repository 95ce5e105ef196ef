"""The pages of an agent: reading them, and saving with and without htmx."""

import json
import re
from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from apps.agents import pages, services
from apps.agents.models import Agent, AgentVersion, ConfigSave
from apps.llm.models import LanguageModel
from tests.factories import make_conversations
from tests.factories.drafts import ADA, TOPIC, agent, draft, language_model, with_fields

HTMX = {"HX-Request": "true"}
TABS = ["prompts", "fields", "post-analysis", "versions"]


@pytest.fixture
def made(db: None) -> Agent:
    """An agent with V0 published and a draft that differs from it."""
    found = agent(**with_fields(topic=dict(TOPIC)))
    services.publish(agent=found, title="First", note="The start.", by=ADA)
    services.save_draft(agent=found, changes={"analysis": {"instructions": "Brief."}}, by=ADA)
    return found


def url(made: Agent, page: str) -> str:
    return f"/agents/{made.public_id}/{page}/"


def stamp(made: Agent) -> dict[str, str]:
    version = draft(made)
    return {"base_version": str(version.number), "base": str(version.save_count)}


def prompts(made: Agent, **changed: str) -> dict[str, str]:
    """The Prompts form as a browser sends it, with some of it edited."""
    document = services.draft_document(draft(made))
    form = {
        **stamp(made),
        "model": document["analysis"]["model"],
        "instructions": document["analysis"]["instructions"],
    }
    for name, setting in document["analysis"]["built_ins"].items():
        form[f"{name}-prompt"] = setting["prompt"].replace("\n", "\r\n")
        form |= {f"{name}-{key}": "on" for key in ("enabled", "required") if setting[key]}
    form |= {f"column-{name}": value for name, value in document["columns"].items()}
    return {**form, **changed}


def post(client: Client, path: str, form: dict[str, str], *, htmx: bool = True) -> Any:
    return client.post(path, form, headers=HTMX if htmx else {})


# ---- Reading


@pytest.mark.parametrize("page", TABS)
def test_every_tab_is_read_by_a_viewer_and_edited_by_nobody_of_them(
    viewer: Client, made: Agent, page: str
) -> None:
    response = viewer.get(url(made, page))
    assert response.status_code == 200
    assert "Save draft" not in response.text
    assert "Publish" not in response.text.replace("published", "")
    assert viewer.post(url(made, page)).status_code == (405 if page == "versions" else 403)


@pytest.mark.parametrize("page", TABS)
def test_strangers_are_sent_to_the_login(client: Client, made: Agent, page: str) -> None:
    response = client.get(url(made, page))
    assert response.status_code == 302
    assert response["Location"].startswith("/login/")


@pytest.mark.parametrize("page", [*TABS, "compare", "restore", "publish", "rename", "deactivate"])
def test_an_agent_that_is_not_there(editor: Client, page: str) -> None:
    assert editor.get(f"/agents/agt_none/{page}/").status_code == 404


@pytest.mark.parametrize("method", ["put", "delete", "patch"])
def test_other_methods_are_refused(editor: Client, made: Agent, method: str) -> None:
    for page in ("prompts", "fields", "versions", "publish"):
        assert getattr(editor, method)(url(made, page)).status_code == 405


@pytest.mark.parametrize(
    ("page", "queries"),
    [("prompts", 7), ("fields", 7), ("post-analysis", 5), ("versions", 7), ("publish", 5)],
)
def test_pages_take_few_queries(
    editor: Client,
    made: Agent,
    page: str,
    queries: int,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    for number in range(3):
        change = {"analysis": {"instructions": f"Again {number}."}}
        services.save_draft(agent=made, changes=change, by=ADA)
        language_model(f"another-{number}")
    with django_assert_num_queries(queries):
        editor.get(url(made, page))


def test_the_list_takes_as_many_queries_for_ten_agents_as_for_one(
    viewer: Client, made: Agent, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(9):
        services.publish(agent=agent(f"Agent {number}"), by=ADA)
    with django_assert_num_queries(6):
        response = viewer.get("/agents/")
    assert "1 change since V0" in response.text
    assert "no changes" in response.text
    assert "New agent" not in response.text


def test_an_empty_list_says_what_agents_are_for(editor: Client, viewer: Client) -> None:
    assert "Create agent" in editor.get("/agents/").text
    assert "Editors create agents" in viewer.get("/agents/").text


def test_an_agent_leads_to_its_prompts(viewer: Client, made: Agent) -> None:
    assert viewer.get(f"/agents/{made.public_id}/")["Location"] == url(made, "prompts")


def test_the_bar_says_where_the_draft_stands(editor: Client, made: Agent) -> None:
    text = editor.get(url(made, "prompts")).text
    assert "Post-Call Data Extraction" in text
    assert "1 change since V0" in text
    assert "Publish V1" in text
    chat = agent("Chat", channel="chat")
    text = editor.get(url(chat, "prompts")).text
    assert "Post-Chat Data Extraction" in text
    assert "not published yet" in text


def test_words_of_people_are_escaped(editor: Client, made: Agent) -> None:
    words = "<script>alert(1)</script>{{ settings.SECRET_KEY }}"
    services.save_draft(agent=made, changes={"analysis": {"instructions": words}}, by=ADA)
    services.save_draft(
        agent=made, changes=with_fields(x={"type": "string", "description": words}), by=ADA
    )
    pages = [url(made, page) for page in TABS] + [url(made, "fields") + "?view=json"]
    for page in [*pages, url(made, "compare") + "?from=v0"]:
        text = editor.get(page).text
        assert "<script>alert" not in text
        assert "only-for-tests" not in text
    assert "{{ settings.SECRET_KEY }}" in editor.get(url(made, "prompts")).text


# ---- Saving


def test_a_save_answers_with_what_stands_beside_the_editor(editor: Client, made: Agent) -> None:
    form = prompts(made, instructions="Be brief.\r\nPlease.")
    response = post(editor, url(made, "prompts"), form)
    assert response.status_code == 200
    assert "draft:saved" in response["HX-Trigger-After-Settle"]
    assert 'id="draft-bar"' in response.text
    assert "<textarea" not in response.text
    version = draft(made)
    assert version.config.parsed().instructions == ("Be brief.\nPlease.",)
    assert f'name="base" value="{version.save_count}"' in response.text


def test_without_script_a_save_leads_back_to_the_tab(editor: Client, made: Agent) -> None:
    form = prompts(made, instructions="Other.")
    response = post(editor, url(made, "prompts"), form, htmx=False)
    assert (response.status_code, response["Location"]) == (302, url(made, "prompts"))
    assert draft(made).config.parsed().instructions == ("Other.",)


def test_a_save_of_the_form_as_it_is_writes_nothing(editor: Client, made: Agent) -> None:
    before = ConfigSave.objects.count()
    response = post(editor, url(made, "prompts"), prompts(made))
    assert "No changes to save" in response.text
    assert ConfigSave.objects.count() == before


def test_switches_and_columns_are_saved(editor: Client, made: Agent) -> None:
    form = prompts(made, **{"column-outcome": "topic"})
    del form["call_summary-enabled"], form["user_sentiment-required"]
    response = post(editor, url(made, "prompts"), form)
    version = draft(made)
    assert version.config.parsed().field_names() == ("call_successful", "user_sentiment", "topic")
    assert "user_sentiment" not in version.config.parsed().required_names()
    assert (version.summary_field, version.outcome_field) == ("", "topic")
    # The select still shows what was switched off: the answer is the form as it is now.
    assert response["HX-Retarget"] == "form[data-draft]"
    select = response.text.split('id="column-summary"')[1].split("</select>")[0]
    assert '<option value="" selected>' in select


def test_another_model_is_chosen(editor: Client, made: Agent) -> None:
    other = language_model("other-model")
    post(editor, url(made, "prompts"), prompts(made, model=other.name))
    assert draft(made).config.model == other


@pytest.mark.parametrize("htmx", [True, False])
def test_faults_stand_at_their_place_and_nothing_is_lost(
    editor: Client, made: Agent, htmx: bool
) -> None:
    form = prompts(made, instructions="a\x00b", **{"call_summary-prompt": "Kept words."})
    form["column-summary"] = "gone"
    response = post(editor, url(made, "prompts"), form, htmx=htmx)
    assert response.status_code == 200
    assert "NUL" in response.text.split('id="fault-analysis-instructions"')[1][:400]
    assert "Not saved" in response.text
    assert ("Kept words." in response.text) is not htmx
    assert draft(made).save_count == 2


def test_a_second_editor_is_told_with_the_difference(editor: Client, made: Agent) -> None:
    form = prompts(made, **{"call_summary-prompt": "Five words."})
    services.save_draft(agent=made, changes={"analysis": {"instructions": "Ada's."}}, by=ADA)
    response = post(editor, url(made, "prompts"), form)
    assert response["HX-Retarget"] == "#dialog"
    assert "Ada saved this draft while you were editing" in response.text
    assert "Five words." in response.text
    version = draft(made)
    assert version.config.parsed().built_ins[0].prompt != "Five words."

    # Keep editing, mine on top: the form comes back with both, and with the stamp of both.
    response = post(editor, url(made, "prompts"), {**form, "merge": "1"})
    assert response["HX-Retarget"] == "form[data-draft]"
    assert "Ada&#x27;s." in response.text
    assert "Five words." in response.text
    assert "data-dirty" in response.text
    assert draft(made).save_count == version.save_count
    again = prompts(made, **{"call_summary-prompt": "Five words."})
    assert f'name="base" value="{again["base"]}"' in response.text
    response = post(editor, url(made, "prompts"), again)
    assert "draft:saved" in response["HX-Trigger-After-Settle"]
    document = draft(made).config.parsed()
    assert document.instructions == ("Ada's.",)
    assert document.built_ins[0].prompt == "Five words."


def test_a_save_of_nothing_shows_what_somebody_else_saved(editor: Client, made: Agent) -> None:
    form = prompts(made)
    services.save_draft(agent=made, changes={"analysis": {"instructions": "Ada's."}}, by=ADA)
    response = post(editor, url(made, "prompts"), form)
    # With the new stamp comes the new document: the old one would be put back by the next save.
    assert response["HX-Retarget"] == "form[data-draft]"
    assert "Ada&#x27;s." in response.text
    assert "This page now shows what" in response.text
    assert draft(made).config.parsed().instructions == ("Ada's.",)


def test_a_prompt_that_goes_back_to_its_default_is_shown_as_it_is_now(
    editor: Client, made: Agent
) -> None:
    response = post(editor, url(made, "prompts"), prompts(made, **{"call_summary-prompt": ""}))
    assert response["HX-Retarget"] == "form[data-draft]"
    assert "summary of the call" in response.text.split('id="call_summary-prompt"')[1][:500]


@pytest.mark.parametrize("htmx", [True, False])
def test_fields_of_two_editors_are_merged(editor: Client, made: Agent, htmx: bool) -> None:
    rows = json.dumps([{"name": "topic", "kind": "text", "description": "Mine."}])
    saved = json.dumps(draft(made).config.parsed().schema)
    form = {**stamp(made), "mode": "builder", "rows": rows, "base_schema": saved}
    both = {"topic": dict(TOPIC), "mood": {"type": "string", "description": "Ada's."}}
    services.save_draft(agent=made, changes=with_fields(**both), by=ADA)
    response = post(editor, url(made, "fields"), form, htmx=htmx)
    if htmx:
        assert response["HX-Retarget"] == "#dialog"
        response = post(editor, url(made, "fields"), {**form, "merge": "1"})
    shown = response.text
    assert "Ada&#x27;s." in shown
    assert "Mine." in shown
    assert f'name="base" value="{draft(made).save_count}"' in shown
    assert tuple(draft(made).config.parsed().own_fields()) == tuple(both)


def test_a_conflict_without_script_shows_both_edits(editor: Client, made: Agent) -> None:
    form = prompts(made, **{"call_summary-prompt": "Five words."})
    services.save_draft(agent=made, changes={"analysis": {"instructions": "Ada's."}}, by=ADA)
    response = post(editor, url(made, "prompts"), form, htmx=False)
    assert "Not saved." in response.text
    assert "Five words." in response.text
    assert "Ada&#x27;s." in response.text.split('id="instructions"')[1][:400]
    assert f'name="base" value="{draft(made).save_count}"' in response.text


def test_a_draft_that_was_only_published_meanwhile_is_no_conflict(
    editor: Client, made: Agent
) -> None:
    form = prompts(made, instructions="After publishing.")
    services.publish(agent=made, by=ADA)
    response = post(editor, url(made, "prompts"), form)
    assert "draft:saved" in response["HX-Trigger-After-Settle"]
    assert draft(made).number == 2


def test_a_draft_that_was_published_and_edited_meanwhile_is_one(
    editor: Client, made: Agent
) -> None:
    form = prompts(made, instructions="After publishing.")
    services.publish(agent=made, by=ADA)
    services.save_draft(agent=made, changes={"analysis": {"instructions": "Ada's."}}, by=ADA)
    assert post(editor, url(made, "prompts"), form)["HX-Retarget"] == "#dialog"


@pytest.mark.parametrize(
    "broken", [{"base": "x"}, {"base_version": "-1"}, {"base": ""}, {"base": "99"}]
)
def test_a_broken_stamp_is_refused_in_words(
    editor: Client, made: Agent, broken: dict[str, str]
) -> None:
    response = post(editor, url(made, "prompts"), prompts(made, instructions="x", **broken))
    assert "out of date" in response.text
    assert draft(made).save_count == 2


def test_shares_of_what_is_typed(viewer: Client, made: Agent) -> None:
    path = f"/agents/{made.public_id}/prompts/shares/"
    form = prompts(made, **{"call_summary-prompt": "word " * 1000})
    response = post(viewer, path, form)
    assert response.status_code == 200
    assert 'id="share-call_summary" hx-swap-oob="true">about 2,' in response.text
    assert post(viewer, path, prompts(made, instructions="\x00")).status_code == 204
    assert viewer.get(path).status_code == 405
    LanguageModel.objects.update(input_price=None, cached_price=None, output_price=None)
    assert "price unknown" in post(viewer, path, form).text


# ---- Post analysis


def post_form(made: Agent, **changed: str) -> dict[str, str]:
    values = {
        "enabled": "on",
        "sample_percent": "100",
        "min_seconds": "0",
        "min_messages": "0",
        "chat_idle_minutes": "60",
        "long_transcript": "refuse",
    }
    return {**stamp(made), **values, **changed}


def test_post_analysis_is_saved(editor: Client, made: Agent) -> None:
    form = post_form(made, sample_percent="12,5", min_seconds="5", long_transcript="truncate")
    del form["enabled"]
    post(editor, url(made, "post-analysis"), form)
    version = draft(made)
    assert not version.post_analysis_enabled
    assert (float(version.sample_percent), version.min_seconds) == (12.5, 5)
    assert version.config.parsed().long_transcript == "truncate"
    assert version.chat_idle_seconds == 3600


def test_how_long_a_chat_may_be_idle_is_asked_in_minutes(editor: Client, db: None) -> None:
    chat = agent("Chat", channel="chat")
    post(editor, url(chat, "post-analysis"), post_form(chat, chat_idle_minutes="2.5"))
    assert draft(chat).chat_idle_seconds == 150
    assert 'value="2.5"' in editor.get(url(chat, "post-analysis")).text


@pytest.mark.parametrize(
    ("name", "value", "place"),
    [
        ("sample_percent", "101", "sample_percent"),
        ("sample_percent", "many", "sample_percent"),
        ("sample_percent", "", "sample_percent"),
        ("min_seconds", "-5", "min_seconds"),
        ("min_messages", "1e99", "min_messages"),
        ("chat_idle_minutes", "1", "chat_idle_seconds"),
        ("chat_idle_minutes", "x", "chat_idle_seconds"),
        ("long_transcript", "", "long_transcript"),
    ],
)
def test_amounts_that_are_refused(
    editor: Client, db: None, name: str, value: str, place: str
) -> None:
    chat = agent("Chat", channel="chat")
    for htmx in (True, False):
        form = post_form(chat, **{name: value})
        response = post(editor, url(chat, "post-analysis"), form, htmx=htmx)
        slot = response.text.split(f'id="fault-post_analysis-{place}"')[1].split("</div>")[0]
        assert "must be" in slot
    assert draft(chat).save_count == 1


# ---- Fields


def fields_form(made: Agent, **values: Any) -> dict[str, str]:
    written = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in values.items()
    }
    return {**stamp(made), **written}


def rows_of_page(text: str) -> list[dict[str, Any]]:
    import html

    config = json.loads(
        html.unescape(text.split('data-django-jsonform="')[1].split('"', maxsplit=1)[0])
    )
    rows: list[dict[str, Any]] = json.loads(config["data"])
    return rows


def test_rows_of_the_builder_are_saved(editor: Client, made: Agent) -> None:
    rows = rows_of_page(editor.get(url(made, "fields")).text)
    assert [row["name"] for row in rows] == ["topic"]
    rows.append({"name": " amount ", "kind": "number", "minimum": "0", "required": True})
    base = draft(made).config.parsed().schema
    form = fields_form(made, mode="builder", rows=rows, base_schema=base)
    post(editor, url(made, "fields"), form)
    schema = draft(made).config.parsed().schema
    assert schema["properties"]["amount"] == {"type": "number", "minimum": 0}
    assert schema["properties"]["topic"] == TOPIC
    assert schema["required"] == ["amount"]


def test_a_row_that_is_wrong_leads_to_its_part(editor: Client, made: Agent) -> None:
    rows = [{"name": "a", "kind": "text"}, {"name": "b", "kind": "selector"}]
    form = fields_form(made, mode="builder", rows=rows, base_schema={})
    response = post(editor, url(made, "fields"), form)
    assert 'data-at="row-1-choices"' in response.text
    assert draft(made).save_count == 2


@pytest.mark.parametrize(
    "rows", ["", "{", "{}", "[1]", "[" * 100_000, '[{"name": ""}]', '[{"name": "call_summary"}]']
)
def test_rows_that_nobody_could_have_typed(editor: Client, made: Agent, rows: str) -> None:
    form = fields_form(made, mode="builder", rows=rows, base_schema="[")
    response = post(editor, url(made, "fields"), form)
    assert "Not saved" in response.text
    assert draft(made).save_count == 2


def test_the_raw_editor_marks_the_place(editor: Client, made: Agent) -> None:
    text = '{"type": "object",\n "properties": {"a": {"type": "text"}}}'
    form = fields_form(made, mode="json", schema=text)
    response = post(editor, url(made, "fields"), form)
    assert 'data-line="2" data-column="23"' in response.text
    assert "Line 2, column 23" in response.text


def test_switching_to_json_takes_the_unsaved_rows_along(editor: Client, made: Agent) -> None:
    rows = [{"name": "b", "kind": "integer"}, {"name": "a", "kind": "text"}]
    form = fields_form(made, mode="builder", rows=rows, base_schema={}, switch="json")
    response = post(editor, url(made, "fields"), form)
    assert 'name="mode" value="json"' in response.text
    assert response.text.index("&quot;b&quot;") < response.text.index("&quot;a&quot;")
    assert "data-dirty" in response.text
    assert draft(made).save_count == 2


@pytest.mark.parametrize("htmx", [True, False])
def test_switching_to_the_builder_takes_the_unsaved_text_along(
    editor: Client, made: Agent, htmx: bool
) -> None:
    text = '{"type": "object", "properties": {"z": {"type": "boolean"}, "y": {"type": "string"}}}'
    form = fields_form(made, mode="json", schema=text, switch="builder")
    response = post(editor, url(made, "fields"), form, htmx=htmx)
    assert [row["name"] for row in rows_of_page(response.text)] == ["z", "y"]
    assert ("<html" in response.text) is not htmx
    # … and saved from there it is the text that was typed, byte for byte in its meaning.
    base = json.dumps(json.loads(text))
    rows = rows_of_page(response.text)
    post(
        editor, url(made, "fields"), fields_form(made, mode="builder", rows=rows, base_schema=base)
    )
    assert draft(made).config.parsed().schema == json.loads(text)


def test_switching_without_an_edit_is_no_edit(editor: Client, made: Agent) -> None:
    schema = draft(made).config.parsed().schema
    form = fields_form(made, mode="json", schema=schema, switch="builder")
    assert "data-dirty" not in post(editor, url(made, "fields"), form).text


def test_what_the_builder_cannot_show_stays_raw(editor: Client, made: Agent) -> None:
    nested = {"type": "object", "properties": {"o": {"type": "object", "properties": {}}}}
    form = fields_form(made, mode="json", schema=nested, switch="builder")
    response = post(editor, url(made, "fields"), form)
    assert "This schema can’t be shown" in response.text
    assert 'name="mode" value="json"' in response.text
    services.save_draft(agent=made, changes={"analysis": {"schema": nested}}, by=ADA)
    assert "This schema can’t be shown" in editor.get(url(made, "fields")).text
    assert "This schema can’t be shown" not in editor.get(url(made, "fields") + "?view=json").text


def test_broken_text_stays_raw_with_its_faults(editor: Client, made: Agent) -> None:
    form = fields_form(made, mode="json", schema="{ oops", switch="builder")
    response = post(editor, url(made, "fields"), form)
    assert "{ oops" in response.text
    assert "not JSON" in response.text
    assert 'name="mode" value="json"' in response.text


# ---- Versions, compare, restore, publish


def test_the_history_shows_publishes_and_saves(editor: Client, made: Agent) -> None:
    text = editor.get(url(made, "versions")).text
    assert "V0 published" in text
    assert "The start." in text
    assert "1 prompt changed" in text
    assert "opened from V0" in text


def test_the_history_goes_on_on_the_next_page(editor: Client, made: Agent) -> None:
    for number in range(55):
        change = {"analysis": {"instructions": f"Number {number}."}}
        services.save_draft(agent=made, changes=change, by=ADA)
    first = editor.get(url(made, "versions")).text
    assert "V0 published" not in first
    older = first.split('rel="next" href="')[1].split('"')[0]
    second = editor.get(url(made, "versions") + older.replace("&amp;", "&")).text
    assert "V0 published" in second
    assert editor.get(url(made, "versions") + "?cursor=nonsense").status_code == 200


def test_two_states_are_compared(viewer: Client, made: Agent) -> None:
    page = viewer.get(url(made, "compare") + "?from=v0&to=draft")
    assert "V0 → V1 draft" in page.text
    assert "1 prompt changed".capitalize() in page.text
    fragment = viewer.get(url(made, "compare") + "?from=v0&to=draft", headers=HTMX)
    assert "<html" not in fragment.text
    save = ConfigSave.objects.order_by("pk")[0]
    assert viewer.get(url(made, "compare") + f"?from=s{save.pk}").status_code == 200


@pytest.mark.parametrize("key", ["", "v9", "s999999", "x", "v", "s-1", "v" * 99, "s" + "9" * 40])
def test_states_that_are_not_there(editor: Client, made: Agent, key: str) -> None:
    for page, name in (("compare", "from"), ("restore", "state")):
        response = editor.get(url(made, page), {name: key})
        assert response.status_code == 200
        assert "has no state" in response.text


def test_a_state_is_restored(editor: Client, made: Agent) -> None:
    asked = editor.get(url(made, "restore"), {"state": "v0"}, headers=HTMX)
    assert "Restore V0" in asked.text
    assert draft(made).config.parsed().instructions == ("Brief.",)
    form = {"state": "v0", **stamp(made)}
    response = post(editor, url(made, "restore"), form)
    assert response["HX-Redirect"] == url(made, "versions")
    assert draft(made).config.parsed().instructions == ()
    stale = {"state": "v0", "base_version": "1", "base": "1"}
    services.save_draft(agent=made, changes={"analysis": {"instructions": "New."}}, by=ADA)
    assert "saved this draft while" in post(editor, url(made, "restore"), stale).text


def test_a_draft_is_published_once(editor: Client, made: Agent) -> None:
    asked = editor.get(url(made, "publish"), headers=HTMX)
    assert "1 change since V0" in asked.text
    form = {"title": "Second", "note": "", "version": "1", "save_count": "2"}
    for _ in range(3):
        response = post(editor, url(made, "publish"), form)
        assert response["HX-Redirect"] == url(made, "versions") + "?published=1"
    assert AgentVersion.objects.filter(agent=made).count() == 3
    text = editor.get(response["HX-Redirect"]).text
    assert "V1 published." in text
    assert "Backfill calls with this version" in text


def test_publishing_what_was_not_shown_is_refused(editor: Client, made: Agent) -> None:
    services.save_draft(agent=made, changes={"analysis": {"instructions": "Ada's."}}, by=ADA)
    form = {"title": "", "note": "", "version": "1", "save_count": "2"}
    response = post(editor, url(made, "publish"), form)
    assert "saved this draft while" in response.text
    assert 'name="save_count" value="3"' in response.text
    assert draft(made).number == 1


# ---- New, rename, deactivate


@pytest.mark.parametrize("htmx", [True, False])
def test_an_agent_is_made(editor: Client, htmx: bool) -> None:
    model = language_model()
    form = {"name": "Fresh", "channel": "chat", "model": str(model.pk)}
    response = post(editor, "/agents/new/", form, htmx=htmx)
    fresh = Agent.objects.get(name="Fresh")
    assert response["HX-Redirect" if htmx else "Location"] == url(fresh, "prompts")
    assert draft(fresh).config.model == model


@pytest.mark.parametrize(
    "form", [{"name": "", "channel": "voice"}, {"name": "a", "channel": "fax"}, {"name": "\x00"}]
)
def test_an_agent_is_not_made(editor: Client, form: dict[str, str]) -> None:
    response = post(editor, "/agents/new/", form)
    assert response.status_code == 200
    assert "errorlist" in response.text
    assert not Agent.objects.exists()


def test_an_agent_is_renamed_deactivated_and_reactivated(editor: Client, made: Agent) -> None:
    post(editor, url(made, "rename"), {"name": "Other name"})
    assert "Other name" in editor.get(url(made, "prompts")).text
    assert "Reactivate" not in editor.get(url(made, "deactivate")).text
    post(editor, url(made, "deactivate"), {})
    text = editor.get(url(made, "prompts")).text
    assert "Deactivated." in text
    assert "Save draft" not in text
    response = post(editor, url(made, "prompts"), prompts(made, instructions="x"))
    assert "is deactivated" in response.text
    post(editor, url(made, "reactivate"), {})
    assert "Save draft" in editor.get(url(made, "prompts")).text


def test_an_agent_that_nobody_set_up_says_so(editor: Client, db: None) -> None:
    found = services.create_agent(
        name="Door", channel="voice", by=ADA, model=language_model(), unconfigured=True
    )
    text = editor.get(url(found, "prompts")).text
    assert "What do you want to know about these calls?" in text
    assert "created automatically for incoming calls" in text
    assert "Use default prompts" in text
    post(editor, url(found, "prompts"), prompts(found))
    assert "What do you want to know" not in editor.get(url(found, "prompts")).text


@pytest.mark.parametrize("name", ["agent", "agentversion", "analysisconfig", "configsave"])
def test_django_admin_shows_and_changes_nothing(sign_in: Any, made: Agent, name: str) -> None:
    admin = sign_in("admin")
    assert admin.get(f"/admin/agents/{name}/").status_code == 200
    assert admin.get(f"/admin/agents/{name}/?q=agt").status_code == 200
    assert admin.get(f"/admin/agents/{name}/add/").status_code == 403


def test_the_list_counts_conversations_up_to_a_limit(
    viewer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    many, few = agent("Many"), agent("Few")
    make_conversations(many, 4)
    make_conversations(few, 3)
    monkeypatch.setattr(pages, "COUNTED", 3)
    found = pages.conversation_counts([many, few, agent("None")])
    assert [str(count) for count in found.values()] == ["3+", "3", "0"]
    page = viewer.get("/agents/").content.decode()
    cells = re.findall(r'data-label="Conversations">(.*?)</td>', page, re.DOTALL)
    shown = [re.sub(r"<[^>]+>", "", cell).strip() for cell in cells]
    assert sorted(shown) == ["0", "3", "3+"]
