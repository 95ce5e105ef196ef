"""The editors played in a real browser, under our content policy."""

import json
import re
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright
from pytest_django.live_server_helper import LiveServer

from apps.accounts.models import Role, User
from apps.agents import services
from apps.agents.models import Agent
from tests.browser.axe import faults
from tests.browser.product import open_whole
from tests.factories.drafts import ADA, TOPIC, agent, draft, with_fields
from tests.install_browser import launch

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture(scope="module", autouse=True)
def chromium() -> Iterator[Browser]:
    with pytest.MonkeyPatch.context() as environment, sync_playwright() as playwright:
        # The driver keeps an event loop in this thread; the ORM is used beside it, not in it.
        environment.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        found = launch(playwright)
        yield found
        found.close()


@pytest.fixture
def page(chromium: Browser, live_server: LiveServer) -> Iterator[Page]:
    """A window of an editor; what the console complains of fails the test."""
    client = Client()
    client.force_login(User.objects.create_user("ed", first_name="Ed", role=Role.EDITOR))
    context = chromium.new_context(base_url=live_server.url)
    name = settings.SESSION_COOKIE_NAME
    cookie = client.cookies[name].value
    context.add_cookies([{"name": name, "value": cookie, "url": live_server.url}])
    window = context.new_page()
    complaints: list[str] = []
    window.on("pageerror", lambda error: complaints.append(str(error)))
    window.on(
        "console", lambda said: complaints.append(said.text) if said.type == "error" else None
    )
    yield window
    context.close()
    assert not complaints


@pytest.fixture
def made() -> Agent:
    return agent(**with_fields(topic=dict(TOPIC)))


def is_unsaved(page: Page) -> bool:
    return bool(page.evaluate("document.body.hasAttribute('data-unsaved')"))


def open_tab(page: Page, made: Agent, tab: str) -> None:
    open_whole(page, f"/agents/{made.public_id}/{tab}")


def test_a_prompt_is_edited_and_saved_by_keys(page: Page, made: Agent) -> None:
    open_tab(page, made, "prompts/")
    assert not is_unsaved(page)
    page.fill("#call_summary-prompt", "Write a 1–5 word summary of the call.")
    expect(page.get_by_text("Unsaved changes")).to_be_visible()
    page.keyboard.press("Control+s")
    expect(page.locator("#save-state")).to_contain_text("Saved")
    expect(page.locator("#draft-bar")).to_contain_text("by Ed")
    # The words and the place in them stay.
    expect(page.locator("#call_summary-prompt")).to_be_focused()
    expect(page.locator("body:not([data-unsaved])")).to_be_attached()
    assert draft(made).config.parsed().built_ins[0].prompt.startswith("Write a 1–5")
    page.click("[data-reset=call_summary-prompt]")
    assert is_unsaved(page)
    assert page.input_value("#call_summary-prompt").startswith("Write a summary")


def test_the_second_editor_keeps_their_words_on_top(page: Page, made: Agent) -> None:
    open_tab(page, made, "prompts/")
    services.save_draft(agent=made, changes={"analysis": {"instructions": "Ada's."}}, by=ADA)
    page.fill("#call_summary-prompt", "Five words.")
    page.keyboard.press("Control+s")
    dialog = page.locator("#dialog")
    expect(dialog).to_contain_text("Ada saved this draft while you were editing")
    dialog.get_by_text("Keep my changes").click()
    expect(dialog).to_be_hidden()
    page.keyboard.press("Control+s")
    expect(page.locator("#save-state")).to_contain_text("Saved")
    document = draft(made).config.parsed()
    assert document.instructions == ("Ada's.",)
    assert document.built_ins[0].prompt == "Five words."


def test_a_merged_form_shows_what_it_will_be_compared_with(page: Page, made: Agent) -> None:
    """A saves X. B edits Y, puts it on top, then edits Z: no dialog, and A's X is still there."""
    open_tab(page, made, "prompts/")
    services.save_draft(agent=made, changes={"analysis": {"instructions": "Ada's."}}, by=ADA)
    page.fill("#call_summary-prompt", "Five words.")
    page.keyboard.press("Control+s")
    page.locator("#dialog").get_by_text("Keep my changes").press("Enter")
    expect(page.locator("#dialog")).to_be_hidden()
    expect(page.locator("#instructions")).to_have_value("Ada's.")
    expect(page.locator("#call_summary-prompt")).to_have_value("Five words.")
    expect(page.locator("#merged")).to_contain_text("Ada")
    expect(page.get_by_role("button", name="Save draft")).to_be_focused()
    assert is_unsaved(page)
    page.keyboard.press("Enter")
    expect(page.locator("#save-state")).to_contain_text("Saved")
    assert not is_unsaved(page)

    page.fill("#user_sentiment-prompt", "How did they feel?")
    with page.expect_response("**/prompts/"):  # the bar says "by Ed" since the first save
        page.keyboard.press("Control+s")
    expect(page.locator("body:not([data-unsaved])")).to_be_attached()
    expect(page.locator("#dialog")).to_be_hidden()
    document = services.draft_document(draft(made))["analysis"]
    assert document["instructions"] == "Ada's."
    assert document["built_ins"]["call_summary"]["prompt"] == "Five words."
    assert document["built_ins"]["user_sentiment"]["prompt"] == "How did they feel?"


def test_what_is_typed_during_a_save_survives_the_merged_form(page: Page, made: Agent) -> None:
    open_tab(page, made, "prompts/")
    services.save_draft(agent=made, changes={"analysis": {"instructions": "Ada's."}}, by=ADA)
    # Nothing is edited: the answer is the form with Ada's words. Meanwhile something is typed.
    held: list[Route] = []
    page.route("**/prompts/", lambda route: held.append(route))  # noqa: PLW0108 (a builtin can't be marked)
    page.locator("#user_sentiment-prompt").focus()
    page.keyboard.press("Control+s")
    for _ in range(500):  # a busy browser takes its time to send the save
        if held:
            break
        page.wait_for_timeout(20)
    page.fill("#user_sentiment-prompt", "Typed meanwhile.")
    held[0].continue_()
    expect(page.locator("#instructions")).to_have_value("Ada's.")
    expect(page.locator("#user_sentiment-prompt")).to_have_value("Typed meanwhile.")
    expect(page.get_by_text("Unsaved changes")).to_be_visible()
    page.unroute("**/prompts/")
    page.keyboard.press("Control+s")
    expect(page.locator("body:not([data-unsaved])")).to_be_attached()
    document = services.draft_document(draft(made))["analysis"]
    assert document["instructions"] == "Ada's."
    assert document["built_ins"]["user_sentiment"]["prompt"] == "Typed meanwhile."


def test_two_editors_of_the_builder_keep_each_others_fields(page: Page, made: Agent) -> None:
    open_tab(page, made, "fields/")
    both = {"topic": dict(TOPIC), "mood": {"type": "string", "description": "Ada's."}}
    services.save_draft(agent=made, changes=with_fields(**both), by=ADA)
    page.locator("[name$='§description']").first.fill("Mine.")
    page.keyboard.press("Control+s")
    page.locator("#dialog").get_by_text("Keep my changes").click()
    expect(page.locator("[name$='§name']")).to_have_count(2)
    expect(page.locator("[name$='§description']").first).to_have_value("Mine.")
    page.keyboard.press("Control+s")
    expect(page.locator("#save-state")).to_contain_text("Saved")
    fields = services.draft_document(draft(made))["analysis"]["schema"]["properties"]
    assert fields["topic"]["description"] == "Mine."
    assert fields["mood"]["description"] == "Ada's."


def test_a_fault_gets_the_focus(page: Page, made: Agent) -> None:
    open_tab(page, made, "prompts/")
    page.uncheck("#call_summary-enabled")
    page.select_option("#column-outcome", "call_summary")
    page.keyboard.press("Control+s")
    expect(page.locator("#fault-columns-outcome")).to_contain_text("isn't a field or an enabled")
    expect(page.locator("#column-outcome")).to_be_focused()


def test_fields_are_built_moved_and_seen_as_json(page: Page, made: Agent) -> None:
    open_tab(page, made, "fields/")
    page.get_by_role("button", name="Add field").click()
    expect(page.locator("[name='rjf§1§name']")).to_be_focused()
    page.keyboard.type("channel_used")
    page.select_option("[name='rjf§1§kind']", "selector")
    page.keyboard.press("Control+s")
    page.locator(".fault").click()
    expect(page.locator("[name='rjf§1§choices']")).to_be_focused()
    page.keyboard.type("app\nphone")
    page.keyboard.press("Control+s")
    expect(page.locator("#save-state")).to_contain_text("Saved")
    page.get_by_role("button", name="Move up").last.click()
    expect(page.locator("[name='rjf§0§name']")).to_have_value("channel_used")
    page.get_by_role("button", name="JSON Schema").click()
    expect(page.locator("#schema")).to_be_visible()
    shown = json.loads(page.input_value("#schema"))["properties"]
    assert list(shown) == ["channel_used", "topic"]  # in the order of the rows
    assert shown["channel_used"] == {"type": "string", "enum": ["app", "phone"]}
    assert shown["topic"] == TOPIC
    assert is_unsaved(page)
    page.keyboard.press("Control+s")
    expect(page.locator("#save-state")).to_contain_text("Saved")
    assert list(draft(made).config.parsed().own_fields()) == ["channel_used", "topic"]


def test_a_fault_in_json_is_marked_at_its_line(page: Page, made: Agent) -> None:
    open_tab(page, made, "fields/?view=json")
    page.fill("#schema", '{"type": "object",\n "properties": {"a": {"type": "text"}}}')
    page.keyboard.press("Control+s")
    expect(page.locator(".json-lines .bad")).to_have_text("2")
    page.locator(".fault").click()
    selected = "(e => e.value.slice(e.selectionStart, e.selectionEnd))(document.activeElement)"
    assert page.evaluate(selected).startswith('"type": "text"')


def test_a_template_is_started_from_and_undone(page: Page, made: Agent) -> None:
    open_tab(page, made, "fields/")
    page.click("#start")
    page.select_option("#start-source", "support_short")
    plan = page.locator("#start-plan")
    expect(plan).to_contain_text("3 built-ins that ask for the same thing")
    page.get_by_text("Replace", exact=True).click()
    expect(plan.get_by_text("with the same name")).to_be_visible()
    page.get_by_role("button", name="Apply template").click()
    expect(page.locator("#started")).to_contain_text("Started from Support, short.")
    expect(page.locator("[name='rjf§0§name']")).to_have_value("summary")
    assert draft(made).config.parsed().built_ins == ()
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#toasts")).to_contain_text("restored")
    assert draft(made).config.parsed().own_fields() == {"topic": TOPIC}


def test_advice_is_given_while_typing_and_followed_by_a_click(page: Page, made: Agent) -> None:
    open_tab(page, made, "fields/")
    advice = page.locator("#advice")
    expect(advice).to_contain_text("No suggestions.")
    page.get_by_role("button", name="Add field").click()
    page.fill("[name='rjf§1§name']", "tier")
    expect(advice).to_contain_text("No description")
    page.fill("[name='rjf§1§description']", "The plan that they have, one of: gold or basic.")
    advice.get_by_role("button", name="tier").click()
    expect(page.locator("[name='rjf§1§name']")).to_be_focused()
    advice.get_by_role("button", name="Choices: gold, basic").click()
    expect(page.locator("[name='rjf§1§kind']")).to_have_value("selector")
    expect(page.locator("[name='rjf§1§name']")).to_be_focused()
    expect(page.get_by_text("Unsaved changes")).to_be_visible()
    assert "tier" not in draft(made).config.parsed().own_fields()
    page.keyboard.press("Control+s")
    expect(page.locator("#save-state")).to_contain_text("Saved")
    assert draft(made).config.parsed().own_fields()["tier"]["enum"] == ["gold", "basic"]
    page.get_by_role("button", name="JSON Schema").click()
    page.fill("#schema", '{"type": "object",\n "properties": {"data": {}, }}')
    expect(advice).to_contain_text("Errors to fix")
    expect(page.locator(".json-lines .bad")).to_have_text("2")
    page.fill("#schema", '{"type": "object",\n "properties": {"data": {}}}')
    advice.get_by_role("button", name="Make it text").click()
    expect(page.locator("#schema")).to_have_value(re.compile(r'"data": \{\s+"type": "string"'))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_kept_out(page: Page, made: Agent, scheme: str) -> None:
    services.publish(agent=made, by=ADA)
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    for tab in (
        "prompts/",
        "fields/",
        "fields/?view=json",
        "start/",
        "post-analysis/",
        "versions/",
    ):
        open_tab(page, made, tab)
        assert not faults(page, f"{tab}, {scheme}", whole=True)


def test_what_is_not_saved_is_not_published_by_mistake(page: Page, made: Agent) -> None:
    open_tab(page, made, "prompts/")
    page.fill("#instructions", "Not saved yet.")
    page.click("#publish")
    expect(page.locator("#toasts")).to_contain_text("Save the draft first")
    expect(page.locator("#dialog")).to_be_hidden()
    page.keyboard.press("Control+s")
    expect(page.locator("#save-state")).to_contain_text("Saved")
    page.click("#publish")
    page.fill("#dialog [name=title]", "Brief")
    page.get_by_role("button", name="Publish V0").click()
    expect(page.get_by_text("V0 published.")).to_be_visible()
    assert draft(made).number == 1
