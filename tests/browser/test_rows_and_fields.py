"""Lists and filters by hand: rows to select text in, a field to type, history that stays short."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings
from playwright.sync_api import Route, expect

from tests.browser.pages import Places
from tests.browser.product import PHONE, Product, Visit
from tests.config.running import environment

pytestmark = [pytest.mark.browser]


def test_a_field_is_found_by_typing(visit: Callable[..., Visit]) -> None:
    window = visit()
    page = window.open("/calls/")
    page.keyboard.press("f")
    field = page.get_by_role("combobox", name="Field")
    expect(field).to_be_focused()
    expect(page.get_by_role("option")).to_have_count(0)

    page.keyboard.press("ArrowDown")
    groups = page.get_by_role("listbox").get_by_role("group")
    expect(groups.first).to_have_accessible_name("Conversation")
    expect(page.get_by_role("group", name="Fields of Billing line")).to_be_visible()

    page.keyboard.type("billing")  # by the name of the agent
    shown = page.get_by_role("listbox").get_by_role("group")
    expect(shown).to_have_count(1)
    field.fill("nothing like it")
    expect(page.get_by_text("No field matches.")).to_be_visible()
    page.keyboard.press("Escape")
    expect(field).to_have_value("")
    expect(field).to_be_visible()  # only the list has closed

    page.keyboard.type("dur")
    active = field.get_attribute("aria-activedescendant") or ""
    expect(page.locator(f"#{active}")).to_have_text("Duration")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Operator")).to_have_value("gte")
    expect(field).to_have_value("Duration")
    expect(field).to_be_focused()
    page.get_by_label("Value").fill("30")
    page.get_by_role("button", name="Apply").click()
    expect(page).to_have_url(re.compile("duration_ms__gte=30000"))

    page.locator("summary", has_text="Add filter").click()
    field.click()
    page.get_by_role("option", name="Direction").click()
    expect(field).to_have_value("Direction")  # the menu stays open
    expect(page.get_by_role("listbox").get_by_role("option")).to_have_count(0)
    expect(page.get_by_label("Inbound")).to_be_visible()


def test_a_value_typed_while_the_row_redraws_stays(visit: Callable[..., Visit]) -> None:
    window = visit()
    page = window.open("/filters/edit/?channel=voice")
    field = page.get_by_role("combobox", name="Field")
    field.fill("dur")
    page.keyboard.press("Enter")
    operator = page.get_by_label("Operator")
    expect(operator).to_have_value("gte")
    waiting: list[Route] = []
    page.route("**/filters/row/**", lambda route: waiting.append(route))  # noqa: PLW0108
    operator.select_option("lte")
    value = page.get_by_label("Value")
    value.press_sequentially("12")
    [redraw] = waiting
    redraw.continue_()
    expect(page.locator("[name=row-0-op] option[value=lte][selected]")).to_be_attached()
    expect(value).to_be_focused()
    page.keyboard.type("3")
    expect(value).to_have_value("123")
    expect(operator).to_have_value("lte")


def test_text_of_a_row_is_selected_and_a_click_opens_it(visit: Callable[..., Visit]) -> None:
    window = visit()
    page = window.open("/calls/?call_summary__isset=true")
    cell = page.locator("td.text").first
    box = cell.bounding_box()
    assert box
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 12, y)
    page.mouse.down()
    page.mouse.move(box["x"] + 160, y, steps=8)
    page.mouse.up()
    selected = page.evaluate("getSelection().toString()")
    assert len(selected) > 5
    assert selected in cell.inner_text()
    assert "/calls/" in page.url

    href = page.locator(".row-link").first.get_attribute("href") or ""
    cell.click()
    expect(page).to_have_url(re.compile(re.escape(href.split("?")[0])))


def test_walking_through_a_list_leaves_no_history(visit: Callable[..., Visit]) -> None:
    window = visit()
    page = window.open("/calls/")
    page.locator(".row-link").nth(2).click()
    expect(page.get_by_role("link", name="Next in the list")).to_be_visible()
    for _ in range(3):
        before = page.url
        page.keyboard.press("]")
        expect(page).not_to_have_url(before)
        window.settle()
    page.go_back()
    expect(page).to_have_url(re.compile("/calls/$"))

    page.keyboard.press("]")
    expect(page).to_have_url(re.compile("cursor="))
    window.settle()
    page.keyboard.press("[")
    expect(page).to_have_url(re.compile("cursor="))
    window.settle()
    page.go_back()
    expect(page).not_to_have_url(re.compile("cursor="))


def test_menus_stay_within_a_phone(visit: Callable[..., Visit], places: Places) -> None:
    window = visit(size=PHONE)
    for path in ("/calls/", "/contacts/", "/insights/", "/costs/", "/backfills/", places.agent):
        page = window.open(path)
        if path == "/calls/":
            page.locator("[data-select-row]").first.check()  # brings a bar with a menu
        for summary in page.locator("main details.menu > summary:visible").all():
            summary.click()
            box = page.locator("details.menu[open] > .menu-pop").bounding_box()
            assert box, path
            assert box["x"] >= 0, (path, summary.inner_text())
            assert box["x"] + box["width"] <= PHONE[0], (path, summary.inner_text())
            page.keyboard.press("Escape")
            window.settle()


def test_at_200_percent_the_summary_is_seen(visit: Callable[..., Visit]) -> None:
    for size in ((720, 450), (640, 400)):
        page = visit(size=size).open("/calls/?call_summary__isset=true")
        cell = page.locator("td.text").first
        cell.scroll_into_view_if_needed()
        box = cell.bounding_box()
        assert box
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= size[0]


def test_a_recording_that_does_not_load_says_why(
    visit: Callable[..., Visit], product: Product, tmp_path: Path
) -> None:
    line = {
        "channel": "voice",
        "external_id": "recorded-1",
        "from_number": "+15550123",
        "recording_url": f"{product.url}/healthz",
        "messages": [{"role": "user", "content": "Hello"}],
    }
    file = tmp_path / "calls.jsonl"
    file.write_text(json.dumps(line))
    subprocess.run(
        [sys.executable, "manage.py", "import_conversations", str(file), "--source", "recorded"],
        cwd=settings.BASE_DIR,
        env=environment(DATA_DIR=str(product.data_dir)),
        check=True,
        capture_output=True,
    )
    page = visit().open("/calls/?source=recorded")
    page.locator(".row-link").click()
    player = page.locator(".recording audio")
    expect(player).to_be_visible()
    player.evaluate("player => { player.play().catch(() => {}); }")
    reason = page.locator(".recording").get_by_role("alert")
    expect(reason).to_contain_text("The recording can’t be played.")
    expect(reason).to_contain_text("isn’t a recording")
    expect(reason.get_by_role("link", name="Open the link")).to_be_visible()


def test_a_style_set_by_script_does_not_follow_into_a_swapped_form(
    visit: Callable[..., Visit],
) -> None:
    """The content policy would block it, and the window fails on what the console reports."""
    window = visit()
    page = window.open("/crm/")
    page.locator("#new-http").click()
    dialog = window.dialog()
    dialog.get_by_label("URL").fill("ftp://example.com/")
    dialog.get_by_label("Name").evaluate("field => { field.style.color = 'red'; }")
    dialog.get_by_role("button", name="Create connection").click()
    expect(dialog.locator("[aria-invalid=true]")).not_to_have_count(0)
    expect(dialog.get_by_label("Name")).not_to_have_attribute("style", re.compile("."))
