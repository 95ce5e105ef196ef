"""Where a form is enough, no script is needed: filter, open, rerun, backfill."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.pages import Places
from tests.browser.product import Visit

pytestmark = [pytest.mark.browser]


def test_filter_and_open_without_script(visit: Callable[..., Visit], places: Places) -> None:
    window = visit(state=None, script=False)
    window.log_in()
    page = window.open(f"/calls/?agent={places.agent_id}")
    expect(page.locator(".filters .chip")).to_contain_text("Agent is Billing line")
    page.get_by_role("searchbox").fill("late fee")
    page.get_by_role("searchbox").press("Enter")
    expect(page).to_have_url(re.compile(r"q=late.fee"))
    expect(page).to_have_url(re.compile(re.escape(places.agent_id)))
    page.locator(".row-link").first.click()
    expect(page.locator(".transcript .msg").first).to_be_visible()
    page.get_by_role("link", name="History").click()
    expect(page.locator("#panel")).to_contain_text("imported from another platform")


def test_a_filter_is_added_without_script(visit: Callable[..., Visit], places: Places) -> None:
    window = visit(script=False)
    page = window.open("/calls/")
    page.locator("summary", has_text="Add filter").click()
    page.get_by_role("link", name="Choose a field").click()
    page.get_by_label("Field").select_option(label="Agent")
    page.get_by_role("button", name="Apply").click()
    expect(page).to_have_url(re.compile("/filters/edit/"))
    page.get_by_role("checkbox", name="Billing line").check()
    page.get_by_role("button", name="Apply").click()
    expect(page.locator(".filters .chip")).to_contain_text("Agent is Billing line")


def test_rerun_without_script(visit: Callable[..., Visit], places: Places) -> None:
    window = visit(script=False)
    page = window.open(places.call)
    page.get_by_role("link", name="Rerun analysis").click()
    expect(page.get_by_role("heading", name="Rerun analysis")).to_be_visible()
    expect(page.locator("#main")).to_contain_text("Rerunning incurs charges for all models")
    page.get_by_role("button", name=re.compile("^Rerun")).click()
    expect(page).to_have_url(re.compile(re.escape(places.call)))
    expect(page.locator("#panel")).to_contain_text(re.compile("Analyzing|Queued|Waiting|rerun"))


def test_backfill_without_script(visit: Callable[..., Visit], places: Places) -> None:
    window = visit(script=False)
    conversation = places.other_call.rstrip("/").rsplit("/", 1)[1]
    page = window.open(f"/backfills/new/?channel=voice&agent={places.agent_id}&id={conversation}")
    expect(page.locator("#preview")).to_contain_text("1 call matches")
    page.get_by_role("button", name=re.compile("^Save")).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Backfill of 1 call")
    run = page.url.rstrip("/").rsplit("/", 1)[1]
    page.get_by_role("link", name="Backfills").first.click()
    expect(page.locator(f"#runs a[href*='{run}']")).to_have_count(1)
