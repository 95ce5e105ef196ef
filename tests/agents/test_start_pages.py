"""Starting from a template on the pages, and what the panel beside the editors says."""

import json
from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from apps.agents import services
from apps.agents.content import content_of
from apps.agents.costs import costs, waiting_for
from apps.agents.models import Agent
from apps.agents.templates import BY_KEY
from apps.llm.models import LanguageModel
from tests.factories import make_conversations
from tests.factories.drafts import ADA, TOPIC, agent, draft, language_model, with_fields

from .conftest import SignIn
from .test_pages import HTMX, post, stamp, url

pytestmark = pytest.mark.django_db


@pytest.fixture
def made() -> Agent:
    return agent(**with_fields(topic=dict(TOPIC)))


def fields(made: Agent, schema: object, **more: str) -> dict[str, str]:
    text = schema if isinstance(schema, str) else json.dumps(schema, indent=1)
    return {**stamp(made), "mode": "json", "schema": text, **more}


def start(made: Agent, **changed: str) -> dict[str, str]:
    values = {"source": "support_short", "how": "merge", "prompt": "on"}
    version = draft(made)
    stamp = {"base_version": str(version.number), "base": str(version.save_count)}
    return {**values, **stamp, **changed}


# ---- Starting


def test_it_is_told_before_it_is_done(editor: Client, made: Agent) -> None:
    page = editor.get(url(made, "start") + "?source=support_short").text
    assert "<html" in page
    text = " ".join(editor.get(url(made, "start"), headers=HTMX).text.split())
    assert "<html" not in text
    assert "<strong>5 fields</strong>" in text  # customer support, the first of the list
    assert "<strong>2 built-ins</strong> that ask for the same thing" in text
    assert "Outcome shows <code>resolution_status</code>" in text
    plan = editor.get(
        url(made, "start") + "?plan=1&source=support_short&how=replace&prompt=on", headers=HTMX
    ).text
    assert plan.startswith('<section class="start-plan')
    assert "with the same name" in plan
    assert draft(made).save_count == 2  # nothing was saved


def test_one_click_starts_and_one_undoes(editor: Client, made: Agent) -> None:
    answer = editor.post(url(made, "start"), start(made), headers=HTMX)
    after = draft(made)
    saved = after.saves.order_by("-pk")[0]
    target = f"{url(made, 'fields')}?started={saved.pk}"
    assert answer["HX-Redirect"] == target
    assert list(after.config.parsed().own_fields()) == [
        "topic", "summary", "resolved", "sentiment", "follow_up_needed", "follow_up_notes",
    ]  # fmt: skip
    page = editor.get(target).text
    assert "Started from Support, short." in page
    before = after.saves.order_by("-pk")[1]
    undo = {"state": f"s{before.pk}", "base_version": "0", "base": str(after.save_count)}
    assert f'value="{undo["state"]}"' in page
    editor.post(url(made, "restore"), undo)
    assert list(draft(made).config.parsed().own_fields()) == ["topic"]
    assert "Undo" not in editor.get(target).text  # somebody has saved since


def test_without_script_it_is_an_ordinary_form(editor: Client, made: Agent) -> None:
    answer = editor.post(url(made, "start"), start(made, how="replace"))
    assert answer.status_code == 302
    assert "started=" in answer["Location"]
    again = editor.post(url(made, "start"), start(made, how="replace"))
    assert again["Location"] == url(made, "fields")


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"source": "nonsense"}, "There is no template “nonsense”"),
        ({"source": ""}, "Choose a template or an agent."),
        ({"base": "1"}, "saved this draft while you were editing"),
    ],
)
def test_what_cannot_be_done_is_said_in_the_dialog(
    editor: Client, made: Agent, sent: dict[str, str], said: str
) -> None:
    answer = editor.post(url(made, "start"), start(made, **sent), headers=HTMX)
    assert answer.status_code == 200
    assert said in answer.text
    assert draft(made).save_count == 2


def test_a_source_that_does_not_fit_is_said_before(editor: Client, made: Agent) -> None:
    other = agent("Chat", channel="chat", **with_fields(call_summary={"type": "string"}))
    address = f"{url(made, 'start')}?source={other.public_id}"
    assert "“call_summary” is reserved for a built-in field" in editor.get(address).text
    gone = editor.get(url(made, "start") + "?source=agt_gone").text
    assert "There is no template “agt_gone”" in gone


def test_only_editors_start(viewer: Client, client: Client, sign_in: SignIn, made: Agent) -> None:
    assert viewer.get(url(made, "start")).status_code == 403
    assert viewer.post(url(made, "start"), start(made)).status_code == 403
    assert client.get(url(made, "start"))["Location"].startswith("/login/")
    assert "Use template" not in viewer.get(url(made, "fields")).text


def test_other_methods_and_other_agents(editor: Client, made: Agent) -> None:
    assert editor.put(url(made, "start")).status_code == 405
    assert editor.get("/agents/agt_none/start/").status_code == 404
    assert editor.get(url(made, "fields/advice")).status_code == 405
    assert editor.post("/agents/agt_none/fields/advice/").status_code == 404


def test_a_new_agent_from_a_template(editor: Client) -> None:
    language_model()
    form = {"name": "New", "channel": "chat", "start": "quality_assurance"}
    page = editor.get("/agents/new/").text
    assert "Quality assurance" in page
    answer = editor.post("/agents/new/", form, headers=HTMX)
    made = Agent.objects.get(name="New")
    assert answer["HX-Redirect"] == url(made, "fields")
    assert draft(made).config.parsed().own_fields() == BY_KEY["quality_assurance"].fields
    wrong = editor.post("/agents/new/", {**form, "start": "agt_x"}, headers=HTMX)
    assert "agt_x is neither a template nor an agent." in wrong.text


def test_an_agent_that_a_door_made_begins_with_the_choice(editor: Client, viewer: Client) -> None:
    made = services.create_agent(
        name="Door", channel="voice", by=ADA, model=language_model(), unconfigured=True
    )
    text = editor.get(url(made, "fields")).text
    for key in BY_KEY:
        assert f"{url(made, 'start')}?source={key}" in text
    assert "when an editor saves the draft" in viewer.get(url(made, "fields")).text
    editor.post(url(made, "start"), {"as_it_is": "1"})
    assert not Agent.objects.get(pk=made.pk).unconfigured
    assert draft(made).save_count == 1  # as it was: nothing to save


@pytest.mark.parametrize(
    ("count", "prices", "words"),
    [
        (1, {}, "1 call arrived before this agent was set up. Debrief will analyze it when"),
        (3, {}, "3 calls arrived before this agent was set up. Debrief will analyze them when"),
        (2, {}, "when you save a draft, for about $"),
        (
            2,
            {"input_price": None, "output_price": None},
            "at an unknown price (set prices for m under Models).",
        ),
        (2, {"free_first_run": True}, "when you save a draft, free of charge with m."),
        (2, {"is_local": True}, "when you save a draft, free of charge with m."),
    ],
)
def test_what_waited_is_counted_and_its_price_told_before_it_is_paid(
    editor: Client, count: int, prices: dict[str, Any], words: str
) -> None:
    made = services.create_agent(
        name="Door", channel="voice", by=ADA, model=language_model("m", **prices), unconfigured=True
    )
    left_out: dict[str, Any] = {
        "analysis_state": "skipped",
        "analysis_reason": "unconfigured",
    }
    make_conversations(made, count, **left_out)
    make_conversations(made, 2)  # these have a result, or are not over

    assert words in editor.get(url(made, "fields")).text


def test_what_waited_costs_as_much_as_so_many_conversations() -> None:
    made = services.create_agent(
        name="Door", channel="voice", by=ADA, model=language_model(), unconfigured=True
    )
    assert waiting_for(draft(made)) is None
    left_out: dict[str, Any] = {
        "analysis_state": "skipped",
        "analysis_reason": "unconfigured",
    }
    make_conversations(made, 3, prompt_tokens_est=500, **left_out)

    waiting = waiting_for(draft(made))

    each = costs(content_of(draft(made)), language_model(), 500).total.cost
    assert waiting
    assert each
    assert (waiting.count, waiting.cost, waiting.is_free) == (3, 3 * each, False)


def test_the_pages_take_few_queries(
    editor: Client, made: Agent, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(5):
        agent(f"Another {number}")
    with django_assert_num_queries(7):
        editor.get(url(made, "start"))
    typed = fields(made, {"type": "object"})
    with django_assert_num_queries(6):
        editor.post(url(made, "fields/advice"), typed)


# ---- Advice


def test_advice_stands_beside_both_editors_and_is_live(viewer: Client, made: Agent) -> None:
    assert 'id="advice"' in viewer.get(url(made, "fields")).text
    typed = {"type": "object", "properties": {"data": {"type": "string"}}}
    text = viewer.post(url(made, "fields/advice"), fields(made, typed)).text
    assert text.startswith('<aside id="advice"')
    assert "Vague name" in text
    assert "No description" in text
    assert 'data-line="4"' in text  # where it stands in the text
    assert draft(made).save_count == 2


def test_what_blocks_is_said_while_typing_with_its_place(editor: Client, made: Agent) -> None:
    text = editor.post(url(made, "fields/advice"), fields(made, '{"type": "object",\n x}')).text
    assert "Errors to fix" in text
    assert 'data-line="2"' in text
    rows = {**stamp(made), "mode": "builder", "rows": '[{"name": "a", "kind": "selector"}]'}
    text = editor.post(url(made, "fields/advice"), {**rows, "base_schema": "{}"}).text
    assert 'data-at="row-0-choices"' in text


@pytest.mark.parametrize("mode", ["json", "builder"])
def test_a_mend_changes_the_editor_and_saves_nothing(
    editor: Client, made: Agent, mode: str
) -> None:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {"tier": {"type": "string", "description": "The plan, one of: gold, basic."}},
    }
    sent = fields(made, schema)
    if mode == "builder":
        row = {"name": "tier", "kind": "text", "description": "The plan, one of: gold, basic."}
        sent = {**stamp(made), "mode": mode, "rows": json.dumps([row]), "base_schema": "{}"}
    page = editor.post(url(made, "fields/advice"), sent).text
    key = "text_for_choices:/properties/tier"
    assert f'value="{key}"' in page
    assert "Choices: gold, basic" in page
    answer = post(editor, url(made, "fields"), {**sent, "mend": key})
    assert "data-dirty" in answer.text
    assert 'data-mended="/properties/tier"' in answer.text
    assert ("gold\\\\nbasic" if mode == "builder" else "&quot;gold&quot;") in answer.text
    assert draft(made).save_count == 2
    # A hint that is no longer given changes nothing.
    assert "data-mended" not in post(editor, url(made, "fields"), {**sent, "mend": "x:/y"}).text


def test_a_viewer_cannot_mend(viewer: Client, made: Agent) -> None:
    sent = fields(made, {"type": "object", "properties": {"a": {}}}, mend="no_type:/properties/a")
    assert viewer.post(url(made, "fields"), sent).status_code == 403


def test_prompts_have_advice_too(editor: Client, made: Agent) -> None:
    services.start_from(agent=made, source=services.source_of("support_short"), by=ADA)
    services.save_draft(
        agent=made, changes={"analysis": {"built_ins": {"call_summary": {"enabled": True}}}}, by=ADA
    )
    text = editor.get(url(made, "prompts")).text
    assert "More than one summary" in text
    assert 'data-switch-off="call_summary-enabled"' in text
    form = {"model": "test-model", "instructions": "Ask {{name}}.", "column-summary": ""}
    text = editor.post(url(made, "prompts/shares"), form).text
    assert "{{name}} is sent to the model literally. Replace it or remove it." in text
    assert 'href="#instructions"' in text
    assert 'id="share-instructions" hx-swap-oob="true"' in text
    assert "Empty history column" in text


# ---- Costs and models


def test_costs_are_per_conversation_and_per_thousand(editor: Client, made: Agent) -> None:
    text = editor.get(url(made, "fields")).text
    assert "per 1,000" in text
    assert "plus the transcript" in text
    LanguageModel.objects.update(input_price=None, output_price=None)
    text = editor.get(url(made, "fields")).text
    assert "Price unknown" in text
    assert "Tokens per conversation." in text


def test_a_model_without_a_key_is_shown_and_not_offered(
    editor: Client, made: Agent, settings: Any
) -> None:
    settings.OPENAI_API_KEY = settings.OPENAI_BASE_URL = ""
    language_model("gpt-x")
    language_model("elsewhere", base_url="https://llm.example.com/v1")
    for page in (url(made, "prompts"), "/agents/new/"):
        text = editor.get(page).text
        assert "gpt-x · needs OPENAI_API_KEY" in text
        assert "elsewhere · $0.40 in, $1.60 out" in text
        [line] = [part for part in text.split("<option") if "gpt-x" in part]
        assert "disabled" in line
        # What is chosen already stays chosen: a disabled option would not be sent.
        lines = [p for p in text.split("<option") if "test-model" in p and "selected" in p]
        assert all("disabled" not in part for part in lines)
    settings.OPENAI_API_KEY = "set"
    assert "needs OPENAI_API_KEY" not in editor.get(url(made, "prompts")).text


def test_any_agent_can_be_started_from_however_many_there_are(
    editor: Client, made: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.agents.forms.MANY_AGENTS", 1)
    other = agent("Zebra", **with_fields(plan={"type": "string"}))
    page = editor.get(f"{url(made, 'start')}?source={other.public_id}").text
    assert f'<option value="{other.public_id}" selected>Zebra</option>' in page
    editor.post(url(made, "start"), start(made, source=other.public_id))
    assert list(draft(made).config.parsed().own_fields()) == ["topic", "plan"]
