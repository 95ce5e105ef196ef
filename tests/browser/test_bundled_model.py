"""Debrief without a provider: what a newcomer sees of the bundled model.

Only the form is looked at. What a model of 135 million parameters answers, and whether it is cut
off, is no fault of a page.
"""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import running
from tests.browser.product import Product, Visit

pytestmark = [pytest.mark.browser]

#: Seconds on a quiet machine, minutes where other tests share it.
READING_MS = 400_000


@pytest.fixture
def unconfigured() -> Iterator[Product]:
    with running() as product:
        yield product


def test_a_newcomer_reruns_a_call_and_is_offered_a_sample(
    unconfigured: Product, browser: Browser
) -> None:
    with Visit(browser, unconfigured) as window:
        window.log_in()
        page = window.page
        expect(page.locator("body")).to_contain_text("Demo model in use")
        opened_on = page.locator("tbody tr").all_inner_texts()[:20]
        assert len(opened_on) == 20
        assert not [row for row in opened_on if "Not analy" in row or "Analysis failed" in row]

        page.locator("#actions summary").click()
        page.locator("#actions-backfill").click()
        dialog = window.dialog()
        expect(dialog.get_by_label("Sample", exact=True)).to_have_value("20")
        expect(dialog.locator("#preview")).to_contain_text(re.compile(r"20\s*(calls )?to analy"))
        expect(dialog.get_by_role("button", name="Save · free")).to_be_enabled()
        dialog.get_by_label("Sample", exact=True).fill("")
        expect(dialog.locator("#preview")).not_to_contain_text(re.compile(r"\b20\s*(calls )?to an"))
        dialog.get_by_role("link", name="Cancel").click()

        page.locator(".row-link").first.click()
        page.get_by_role("link", name="Rerun analysis").click()
        dialog.get_by_role("button", name="Rerun · free").click()
        expect(dialog).to_be_hidden()
        ended = page.locator("#panel").get_by_role(
            "heading", name=re.compile("Changes from this rerun|No changes|failed", re.IGNORECASE)
        )
        expect(ended).to_be_visible(timeout=READING_MS)
