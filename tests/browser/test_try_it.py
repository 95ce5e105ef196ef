"""Try it, played: the draft on one call, and the drafts of a backfill with the way back."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.pages import Places
from tests.browser.product import Visit

pytestmark = [pytest.mark.browser]

#: Seconds on a quiet machine.
READING_MS = 300_000


def test_a_draft_is_tried_and_nothing_is_saved(visit: Callable[..., Visit], places: Places) -> None:
    window = visit()
    page = window.open(f"/calls/?agent={places.agent_id}")
    newest = (page.locator(".row-link").first.get_attribute("href") or "").partition("?")[0]
    before = _results(window, newest)
    page = window.open(f"{places.agent}prompts/")
    page.get_by_role("link", name="Test").click()
    how_many = page.get_by_label("Test on")
    expect(how_many).to_have_value("5")
    how_many.fill("1")
    run = page.get_by_role("button", name=re.compile(r"Run on 1 · \$0\.0"))
    expect(run).to_be_enabled()
    run.click()
    page.wait_for_url("**/trials/**")
    expect(page.locator("#trial-progress")).to_contain_text("1 of 1", timeout=READING_MS)
    expect(page.locator("#trial-progress")).not_to_have_attribute("data-live", "")
    item = page.locator(".trial-item")
    expect(item).to_contain_text(re.compile(r"in / .* out"))
    expect(item.locator(".transcript .msg").first).to_be_visible()
    everything = item.get_by_role("link", name=re.compile("All .* messages"))
    if everything.count():  # the newest call may be so short that the excerpt is all of it
        everything.click()
        expect(everything).to_have_count(0)
    expect(item.locator("h3 a")).to_have_attribute("href", newest)
    assert _results(window, newest) == before


def _results(window: Visit, conversation: str) -> int:
    """Return how many analyses the history of a conversation holds."""
    window.open(f"{conversation}?tab=history")
    rows = window.page.locator("#panel ul.rows > li")
    expect(rows.first).to_be_visible()
    return rows.count()


def test_a_backfill_is_tried_first_and_found_again(
    visit: Callable[..., Visit], places: Places
) -> None:
    window = visit()
    page = window.open(f"/calls/?agent={places.agent_id}")
    page.locator("#actions summary").click()
    page.locator("#actions-backfill").click()
    dialog = window.dialog()
    expect(dialog.get_by_role("button", name=re.compile("Save ·"))).to_be_enabled()
    dialog.get_by_role("button", name="Test on 5 first").click()
    expect(dialog).to_contain_text("Test the drafts on a few calls first")
    expect(dialog.get_by_role("button", name=re.compile(r"Run on 5 · \$0\.0"))).to_be_enabled()
    dialog.get_by_role("link", name="Back to the backfill").click()
    expect(dialog).to_contain_text("Backfill from Post-Call Data")
    expect(dialog.get_by_role("checkbox", name="Billing line")).to_be_checked()
