"""Forms in a real browser, by keyboard: refused, sent after the session ended, sent again."""

from collections.abc import Iterator

import pytest
from django.conf import settings
from playwright.sync_api import Browser, Page, expect, sync_playwright
from pytest_django.live_server_helper import LiveServer

from apps.accounts.models import Role, User
from apps.agents import services
from apps.agents.models import Agent
from apps.webhooks.models import Endpoint
from tests.accounts.conftest import PASSWORD
from tests.browser.axe import faults
from tests.browser.product import open_whole
from tests.factories.drafts import agent, draft
from tests.install_browser import launch

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture(scope="module", autouse=True)
def chromium() -> Iterator[Browser]:
    with pytest.MonkeyPatch.context() as environment, sync_playwright() as playwright:
        # The driver keeps an event loop in this thread; the ORM is used beside it, not in it.
        environment.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        found = launch(playwright)
        expect.set_options(timeout=20_000)
        yield found
        found.close()


@pytest.fixture
def page(chromium: Browser, live_server: LiveServer) -> Iterator[Page]:
    """A window of an admin who signed in through the page."""
    User.objects.create_user("ed", password=PASSWORD, role=Role.ADMIN)
    context = chromium.new_context(base_url=live_server.url)
    context.set_default_timeout(20_000)
    window = context.new_page()
    errors: list[str] = []
    window.on("pageerror", lambda error: errors.append(str(error)))
    sign_in(window)
    yield window
    context.close()
    assert not errors


def sign_in(page: Page) -> None:
    page.goto("/login/")
    page.get_by_label("Username").fill("ed")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/calls/")


def ids_twice(page: Page) -> list[str]:
    found: list[str] = page.evaluate(
        "[...document.querySelectorAll('[id]')].map(e => e.id)"
        ".filter((id, at, all) => all.indexOf(id) !== at)"
    )
    return found


def open_prompts(page: Page, made: Agent) -> None:
    open_whole(page, f"/agents/{made.public_id}/prompts/")
    page.fill("#instructions", "Typed before the session ended.")


def instructions(made: Agent) -> str:
    text: str = services.draft_document(draft(made))["analysis"]["instructions"]
    return text


def test_a_form_page_is_refused_twice_and_then_right(page: Page) -> None:
    page.goto("/webhooks/new/")
    url = page.get_by_label("URL")
    for wrong in ("nope", "ftp://8.8.8.8/"):
        url.fill(wrong)
        page.keyboard.press("Enter")
        page.wait_for_load_state()
        expect(page.locator("[aria-invalid=true]")).to_have_value(wrong)
        expect(page.locator("[aria-invalid=true]")).to_be_focused()
        expect(page.locator("dialog[open]")).to_have_count(0)
        assert not ids_twice(page)
    url.fill("https://8.8.8.8/hook")
    page.get_by_label("Ended").or_(page.locator("[name=events]")).first.check()
    url.press("Enter")
    expect(page.locator("main")).to_contain_text("whsec_")
    assert Endpoint.objects.get().url == "https://8.8.8.8/hook"


def test_a_draft_is_saved_after_signing_in_over_it(page: Page) -> None:
    made = agent()
    open_prompts(page, made)
    page.context.clear_cookies()
    page.keyboard.press("Control+s")
    dialog = page.locator("#sign-in")
    expect(dialog).to_contain_text("You were signed out because your session ended")
    expect(dialog.get_by_label("Username")).to_have_value("ed")
    expect(dialog.get_by_label("Password")).to_be_focused()
    assert not ids_twice(page)
    assert not faults(page, "sign-in")

    page.keyboard.type("not this")
    page.keyboard.press("Enter")
    expect(dialog).to_contain_text("Wrong username or password")
    expect(dialog.get_by_label("Password")).to_be_focused()
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    expect(page.locator("#save-state")).to_contain_text("Saved")
    expect(page.locator("#instructions")).to_be_focused()
    assert instructions(made) == "Typed before the session ended."


def test_a_draft_is_saved_after_signing_in_in_another_tab(page: Page) -> None:
    made = agent()
    open_prompts(page, made)
    page.context.clear_cookies(name=settings.SESSION_COOKIE_NAME)
    sign_in(page.context.new_page())
    page.bring_to_front()
    page.keyboard.press("Control+s")
    expect(page.locator("#save-state")).to_contain_text("Saved")
    expect(page.locator("#toasts .toast")).to_have_count(0)
    expect(page.locator("#sign-in")).to_be_hidden()
    assert instructions(made) == "Typed before the session ended."


def test_a_dialog_keeps_its_words_over_signing_in(page: Page) -> None:
    page.goto("/agents/")
    page.get_by_role("link", name="New agent").first.click()
    page.locator("#dialog").get_by_label("Name").fill("Second line")
    page.context.clear_cookies()
    page.keyboard.press("Enter")
    page.locator("#sign-in").get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/agents/agt_*/**")
    assert Agent.objects.get().name == "Second line"


def test_a_form_page_goes_on_after_signing_in(page: Page) -> None:
    page.goto("/agents/new/")
    page.get_by_label("Name").fill("Second line")
    page.context.clear_cookies()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in to continue")
    page.get_by_label("Username").fill("ed")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/agents/agt_*/**")
    assert Agent.objects.get().name == "Second line"


def test_a_filter_is_applied_once_it_has_a_field(page: Page) -> None:
    page.goto("/filters/edit/?channel=voice")
    apply = page.get_by_role("button", name="Apply")
    expect(apply).to_be_disabled()
    page.locator("select[name=row-0-field]").select_option("direction", force=True)
    expect(apply).to_be_enabled()


def test_the_dialog_replaces_the_toast_of_an_ended_session(page: Page) -> None:
    open_prompts(page, agent())
    page.context.clear_cookies()
    page.evaluate("htmx.ajax('GET', '/agents/', { target: 'body', swap: 'none' })")
    expect(page.locator("#toasts .toast")).to_contain_text("You were signed out")
    page.keyboard.press("Control+s")
    expect(page.locator("#sign-in")).to_contain_text("You were signed out")
    expect(page.locator("#toasts .toast")).to_have_count(0)
