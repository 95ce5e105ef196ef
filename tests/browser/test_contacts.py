"""From a mapping to a contact: analysis, contact page, edit, and merge, in a browser."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.product import Visit

pytestmark = [pytest.mark.browser]


def test_a_value_leads_from_its_call_through_an_edit_to_a_merge(
    visit: Callable[..., Visit],
) -> None:
    window = visit(state=None)
    window.log_in()
    call = _open_the_contact_of_a_call(window)
    contact = _edit(window, call)
    _merge(window, contact)


def test_a_file_of_contacts_is_checked_and_imported(visit: Callable[..., Visit]) -> None:
    window = visit()
    page = window.open("/contacts/import/")
    rows = b"phone_number,first_name\n+12025550161,Imported Ada\nnonsense,Bob\n"
    page.locator("input[type=file]").set_input_files(
        {"name": "people.csv", "mimeType": "text/csv", "buffer": rows}
    )
    page.get_by_role("button", name="Upload").click()
    page.get_by_role("button", name=re.compile("Check")).click()
    page.get_by_role("button", name=re.compile("^Import")).click()
    expect(page.locator("main")).to_contain_text(re.compile("1 (contact|row)"))
    window.open("/contacts/?q=12025550161")
    expect(page.locator(".row-link").first).to_contain_text("Imported Ada")


def _open_the_contact_of_a_call(window: Visit) -> str:
    """From the contact with a follow-up date to the call that set it, and back by its tab."""
    window.open("/contacts/?fields.follow_up_date__isset=true&sort=name")
    page = window.page
    page.keyboard.press("f")
    expect(page.locator("details[open] .filter-row")).to_be_visible()
    expect(page.locator(".row-link").first).to_be_visible()
    page.keyboard.press("Escape")
    page.locator(".row-link").first.click()
    value = page.locator(".props > div").filter(has_text="Follow-up date")
    expect(value).to_contain_text(re.compile(r"\d{4}"))
    expect(value).to_contain_text("Billing line")
    name = page.get_by_role("heading", level=1).inner_text()
    value.get_by_role("link", name="Call", exact=True).click()
    expect(page.locator("#panel")).to_be_visible()
    call = page.url
    page.locator("#tab-contact").click()
    panel = page.locator("#panel")
    expect(panel.get_by_role("heading", name="From this conversation")).to_be_visible()
    panel.get_by_role("link", name=name).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    return call


def _edit(window: Visit, call: str) -> str:
    """Correct the value by hand; a mistake is shown at its field first."""
    page = window.page
    page.locator("#edit").click()
    dialog = window.dialog()
    dialog.get_by_label("Email").fill("nonsense")
    dialog.get_by_label("Last topic").fill("A topic by hand")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.locator(".errorlist")).to_contain_text("email")
    dialog.get_by_label("Email").fill("")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden()
    value = page.locator(".props > div").filter(has_text="Last topic")
    expect(value).to_contain_text("A topic by hand")
    expect(value).to_contain_text("Edited by")
    value.get_by_role("link", name="History").click()
    expect(window.dialog()).to_contain_text("Current")
    window.dialog().get_by_text("Close", exact=True).click()
    return page.url


def _merge(window: Visit, contact: str) -> None:
    page = window.page
    total = _conversations(page)
    page.locator("#contact-actions").click()
    page.get_by_role("link", name="Merge with another contact").click()
    dialog = window.dialog()
    dialog.get_by_role("searchbox").fill("+1")
    others = dialog.locator("#candidates li").filter(has_not_text="0 conversations")
    others.locator("a").first.click()
    expect(dialog).to_contain_text("Merge these contacts?")
    expect(dialog).to_contain_text("A topic by hand")
    dialog.get_by_role("button", name="Merge contacts").click()
    expect(dialog).to_be_hidden()
    expect(page.locator("#identity")).not_to_contain_text(f"{total} conversation")
    assert _conversations(page) > total


def _conversations(page: Page) -> int:
    found = re.search(r"(\d+) conversations?", page.locator("#identity").inner_text())
    assert found
    return int(found[1])
