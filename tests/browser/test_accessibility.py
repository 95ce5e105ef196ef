"""Every page can be used by everybody: axe, the keyboard alone, and without script."""

import re
from collections.abc import Callable
from typing import Literal

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.axe import faults
from tests.browser.pages import Places
from tests.browser.product import PHONE, WIDE, Visit

pytestmark = [pytest.mark.browser]

SLOW = pytest.mark.slow
LOOKS = [
    pytest.param(("light", "dark"), False, id="wide-light, phone-dark"),
    pytest.param(("light", "dark"), True, id="whole, wide-light, phone-dark", marks=SLOW),
    pytest.param(("dark", "light"), True, id="whole, wide-dark, phone-light", marks=SLOW),
]
Scheme = Literal["light", "dark"]


@pytest.mark.parametrize(("schemes", "whole"), LOOKS)
def test_axe_finds_nothing_serious_on_any_page(
    visit: Callable[..., Visit], places: Places, schemes: tuple[Scheme, Scheme], whole: bool
) -> None:
    """Each page is loaded once, wide, and looked at again as a phone shows it.

    The bar is the same on all of them.
    """
    window = visit()
    found: list[str] = []
    for number, (name, path) in enumerate(places.pages().items()):
        seen = ["#bar"] if number else []
        page = window.open(path)
        for size, scheme in zip((WIDE, PHONE), schemes, strict=True):
            page.set_viewport_size({"width": size[0], "height": size[1]})
            page.emulate_media(color_scheme=scheme)
            found += faults(page, f"{name}, {size[0]} px, {scheme}", whole=whole, without=seen)
            wider = page.evaluate("document.documentElement.scrollWidth") - size[0]
            if wider > 0:
                found.append(f"{name}: the page is {wider} px wider than a window of {size[0]} px")
    assert not found, "\n".join(found)


def test_axe_looks_for_what_is_serious(visit: Callable[..., Visit]) -> None:
    page = visit().open("/profile/")
    page.evaluate(
        """() => {
            const main = document.querySelector("main");
            main.insertAdjacentHTML("beforeend", "<button class='bare'></button><p>pale</p>");
            main.lastChild.style.color = "#bbb";
            main.lastChild.style.background = "#fff";
        }"""
    )
    found = faults(page, "profile")
    assert len(found) == 2
    assert "button-name" in found[0] + found[1]
    assert "color-contrast" in found[0] + found[1]


def test_axe_finds_nothing_serious_before_the_login(visit: Callable[..., Visit]) -> None:
    window = visit(state=None)
    page = window.open("/login/")
    found = faults(page, "login")
    page.get_by_label("Username").fill("demo")
    page.get_by_label("Password").fill("not this")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_label("Password")).to_have_value("")
    found += faults(page, "login refused")
    assert not found, "\n".join(found)


def test_axe_finds_nothing_serious_in_dialogs_and_menus(
    visit: Callable[..., Visit], places: Places
) -> None:
    window = visit()
    found: list[str] = []
    for path, opener, what in (
        (places.call, "#rerun", "dialog"),
        (f"{places.agent}prompts/", "text=Publish V", "dialog"),
        (f"{places.agent}prompts/", "#view-changes", "dialog"),
        ("/calls/", "summary:has-text('Add filter')", "menu"),
        ("/calls/", "summary:has-text('Columns')", "menu"),
        ("/calls/", "#actions summary", "menu"),
    ):
        page = window.open(path)
        page.locator(opener).first.click()
        if what == "dialog":
            expect(window.dialog()).to_be_visible()
        window.settle()
        found += faults(page, f"{what} {opener} of {path}")
    page.get_by_role("link", name="Backfill from").click()
    expect(window.dialog()).to_contain_text("as of")
    found += faults(page, "backfill dialog")
    assert not found, "\n".join(found)


def test_axe_finds_nothing_serious_on_what_a_run_changed(visit: Callable[..., Visit]) -> None:
    window = visit()
    page = window.open("/backfills/")
    runs = [link.get_attribute("href") or "" for link in page.locator(".row-link").all()]
    assert len(runs) > 1  # of the demo: backfills that changed results, and a rollback
    found: list[str] = []
    for run in runs:
        for path in (run, f"{run}report/", f"{run}rollback/"):
            found += faults(window.open(path), path)
    page = window.open(f"{runs[-1]}report/")
    page.locator("a[href*='changed=']").first.click()
    window.settle()
    found += faults(page, "items of a change")
    page.locator("#rollback-these").click()
    expect(window.dialog()).to_contain_text("previous result")
    found += faults(page, "rollback dialog")
    assert not found, "\n".join(found)


def test_axe_finds_nothing_serious_while_contacts_are_imported(
    visit: Callable[..., Visit],
) -> None:
    window = visit()
    page = window.open("/contacts/import/")
    rows = "phone_number,first_name\n+12025550111,Ada\nnonsense,Bob\n"
    page.locator("input[type=file]").set_input_files(
        {"name": "people.csv", "mimeType": "text/csv", "buffer": rows.encode()}
    )
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_role("button", name="Check rows")).to_be_visible()
    found = faults(page, "columns of an import")
    page.get_by_role("button", name="Check rows").click()
    expect(page.get_by_role("button", name="Import 1 contact")).to_be_visible()
    found += faults(page, "checked import")
    page.get_by_role("button", name="Import 1 contact").click()
    expect(page.get_by_text("Imported 1 contact.")).to_be_visible()
    found += faults(page, "finished import")
    assert not found, "\n".join(found)


def test_calls_by_keyboard_alone(visit: Callable[..., Visit]) -> None:
    window = visit()
    page = window.open("/calls/")
    press = page.keyboard.press

    press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("refund f/j")  # keys are text while somebody types
    expect(page.get_by_role("searchbox")).to_have_value("refund f/j")
    page.get_by_role("searchbox").fill("late fee")
    press("Enter")
    expect(page).to_have_url(re.compile(r"q=late"))
    window.settle()

    press("/")
    press("Escape")  # out of the field
    expect(page.get_by_role("searchbox")).not_to_be_focused()
    press("f")
    window.settle()
    editor = page.locator("details[open]")
    expect(editor.get_by_role("combobox", name="Field")).to_be_focused()
    press("Escape")
    expect(editor).to_have_count(0)

    press("f")
    expect(editor.get_by_role("combobox", name="Field")).to_be_focused()
    page.keyboard.type("direct")
    press("Enter")
    editor.get_by_label("Inbound").check()
    editor.get_by_role("button", name="Apply").press("Enter")
    expect(page).to_have_url(re.compile("direction=inbound"))
    expect(page.locator("summary", has_text="Add filter")).to_be_focused()
    page.get_by_role("link", name=re.compile("Remove filter: Direction")).press("Enter")
    expect(page).not_to_have_url(re.compile("direction="))

    rows = page.locator(".row-link")
    second = rows.nth(1).get_attribute("href") or ""
    page.get_by_role("heading", level=1).click()
    for key in ("j", "j", "j", "k"):
        press(key)
    expect(rows.nth(1)).to_be_focused()
    press("Enter")
    expect(page).to_have_url(re.compile(re.escape(second.split("?")[0])))

    first = page.url
    press("]")
    expect(page).not_to_have_url(first)
    press("[")
    expect(page).to_have_url(first)

    press("g")
    press("a")
    expect(page).to_have_url(re.compile("/agents/$"))


def test_dialogs_by_keyboard_alone(visit: Callable[..., Visit], places: Places) -> None:
    window = visit()
    page = window.open(places.call)
    opener = page.get_by_role("link", name="Rerun analysis")

    page.keyboard.press("r")
    expect(window.dialog().get_by_role("button", name=re.compile("Rerun"))).to_be_visible()
    for _ in range(12):
        page.keyboard.press("Tab")
        assert _focus_is_inside(page), "the focus left an open dialog"
    page.keyboard.press("Escape")
    expect(window.dialog()).to_have_count(0)
    expect(opener).to_be_focused()

    page.keyboard.press("?")
    keys = window.dialog()
    expect(keys).to_contain_text("Rerun analysis")
    expect(keys).to_contain_text("Previous and next")
    page.keyboard.press("Escape")
    expect(keys).to_have_count(0)


def _focus_is_inside(page: Page) -> bool:
    """Whether the focus is in the open dialog, or in the browser's own frame, never behind it."""
    return bool(
        page.evaluate(
            "document.activeElement === document.body"
            " || Boolean(document.activeElement.closest('dialog[open]'))"
        )
    )


def test_focus_is_always_seen(visit: Callable[..., Visit], places: Places) -> None:
    """Each stop of the Tab key on the busiest pages has an outline or a ring."""
    window = visit()
    for path in ("/calls/", places.call, f"{places.agent}prompts/"):
        page = window.open(path)
        for _ in range(25):
            page.keyboard.press("Tab")
            here = page.locator(":focus")
            if not here.count():
                break
            assert _is_marked(here), f"{path}: no focus seen on {here.first.evaluate(MARKUP)}"


MARKUP = "e => e.outerHTML.slice(0, 200)"


def _is_marked(focused: Locator) -> bool:
    return bool(
        focused.first.evaluate(
            """e => [e, e.parentElement, e.closest("label, tr, .search")].some(part => {
                if (!part) return false;
                const style = getComputedStyle(part);
                const after = getComputedStyle(part, "::after");
                return style.outlineStyle !== "none" || style.boxShadow !== "none"
                    || after.outlineStyle !== "none" || after.boxShadow !== "none";
            })"""
        )
    )


def test_back_shows_whole_pages(visit: Callable[..., Visit]) -> None:
    window = visit()
    page = window.open("/calls/")
    page.get_by_role("link", name="Duration").click()
    expect(page).to_have_url(re.compile("sort="))
    window.settle()
    row = page.locator(".row-link").first
    href = (row.get_attribute("href") or "").split("?")[0]
    row.click()
    expect(page).to_have_url(re.compile(re.escape(href)))
    page.go_back()
    expect(page).to_have_url(re.compile("sort="))
    _is_whole(page)
    page.go_back()
    expect(page).to_have_url(re.compile("/calls/$"))
    _is_whole(page)
    page.go_forward()
    expect(page).to_have_url(re.compile("sort="))
    _is_whole(page)


def _is_whole(page: Page) -> None:
    expect(page.get_by_role("navigation", name="Main")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text("Calls")
    expect(page.locator(".row-link").first).to_be_visible()
    assert page.locator("h1").count() == 1
