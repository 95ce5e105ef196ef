"""The reason for Debrief, as an operator lives it: edit a prompt, rerun one call, backfill many.

Against a fake provider. Nothing on the way may break the
content security policy or leave an error in the console.
"""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.product import Visit

pytestmark = [pytest.mark.browser]

PROMPT = "Write a 1–5 word summary of the call."

#: Seconds on a quiet machine.
READING_MS = 300_000


def test_edit_a_prompt_rerun_one_call_backfill_many(visit: Callable[..., Visit]) -> None:
    window = visit(state=None)
    window.log_in()
    call = _find_a_call(window)
    summary = _edit_the_summary_prompt(window, call)
    _rerun(window, call, summary)
    run = _backfill(window)
    _roll_back(window, run)


def _find_a_call(window: Visit) -> str:
    """Filter Calls by agent, open one; its path."""
    page = window.page
    everything = page.locator(".row-link").count()
    page.keyboard.press("f")
    editor = page.locator("details[open] .filter-row")
    _choose_field(window, editor, "Agent")
    editor.get_by_role("checkbox", name="Billing line").check()
    page.get_by_role("button", name="Apply").click()
    expect(page).to_have_url(re.compile(r"/calls/\?agent=agt_"))
    chip = page.locator(".filters .chip")
    expect(chip).to_have_count(1)
    expect(chip).to_contain_text("Agent is Billing line")
    expect(page.get_by_role("row").filter(has_text="Technical support line")).to_have_count(0)
    assert 0 < page.locator(".row-link").count() <= everything

    rows = page.get_by_role("row").filter(has_text="Fabienne Loxley")
    rows.first.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Fabienne Loxley")
    expect(page.locator(".transcript .msg").first).to_be_visible()
    return page.url


def _edit_the_summary_prompt(window: Visit, call: str) -> str:
    """From the call to its agent, and back; the summary that the call had."""
    page = window.page
    before = page.locator("#panel [dir=auto]").first.inner_text()
    assert len(before.split()) > 5
    page.locator(".page-lead").get_by_role("link", name="Billing line").click()
    prompt = page.get_by_label("Prompt for Call summary")
    expect(prompt).not_to_have_value(PROMPT)
    prompt.fill(PROMPT)
    expect(page.get_by_text("Unsaved changes")).to_be_visible()
    page.get_by_role("button", name="Save draft").click()
    expect(page.locator("#save-state")).to_contain_text("Saved")
    expect(page.get_by_text("Unsaved changes")).to_be_hidden()
    window.open(call)
    return before


def _rerun(window: Visit, call: str, before: str) -> None:
    page = window.page
    rerun = page.get_by_role("link", name="Rerun analysis")
    expect(rerun).to_be_visible(timeout=READING_MS)
    rerun.click()
    dialog = window.dialog()
    expect(dialog).to_contain_text("Billing line V2 draft")
    expect(dialog).to_contain_text("Changed since")
    expect(dialog).to_contain_text("gpt-4.1-mini")
    expect(dialog).to_contain_text(
        "Rerunning incurs charges for all models, including those that were free in the first run."
    )
    expect(dialog).to_contain_text(re.compile(r"tokens in · .* out · \$0\.0"))
    dialog.get_by_role("button", name=re.compile(r"Rerun · \$0\.0")).click()
    expect(dialog).to_be_hidden()

    ended = page.locator("#panel").get_by_role(
        "heading", name=re.compile("Changes from this rerun")
    )
    expect(ended).to_be_visible(timeout=READING_MS)
    change = page.locator(".change.changed").filter(has_text="call_summary")
    expect(change.locator(".before")).to_contain_text(before[:40])
    after = change.locator(".after").inner_text().strip()
    assert after
    assert after not in before

    window.open(call)
    panel = page.locator("#panel")
    expect(panel).to_contain_text(after[:40])
    expect(panel.locator(".foot-line")).to_contain_text("Billing line V2")
    panel.get_by_role("link", name="History").click()
    expect(panel.get_by_text("Current", exact=True)).to_be_visible()
    expect(panel.locator("ul.rows > li")).to_have_count(2)


def _backfill(window: Visit) -> str:
    """Backfill four calls; the address of the run's page."""
    page = window.page
    window.open("/calls/")
    page.locator("#actions summary").click()
    page.get_by_role("link", name="Backfill from Post-Call Data").click()
    dialog = window.dialog()
    expect(dialog.get_by_text("(no filters)")).to_be_visible()

    row = _fill_row(window, "Agent")
    row.get_by_role("checkbox", name="Billing line").check()
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(dialog.locator(".filter-row")).to_have_count(2)
    row = _fill_row(window, "Duration")
    _choose(window, row.get_by_label("Operator"), "between")
    row.get_by_label("From", exact=True).fill("36")
    row.get_by_label("To", exact=True).fill("37.5")
    expect(dialog.get_by_text("4 calls match")).to_be_visible()
    expect(dialog.locator("#preview")).to_contain_text("Billing line V2 draft")
    expect(dialog).to_contain_text("This incurs charges for all models")
    save = dialog.get_by_role("button", name=re.compile(r"Save · \$0\.0"))
    expect(save).to_be_enabled()
    save.click()
    expect(dialog).to_be_hidden()

    expect(page.locator("#backfill-banner")).to_contain_text(re.compile("of 4|finished"))
    page.locator("#banner-open").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Backfill of 4 calls")
    expect(page.locator(".page-lead")).to_contain_text("Completed", timeout=READING_MS)
    # The head follows at once, the items with their next look.
    expect(page.locator("#items nav")).to_contain_text("Changed")
    expect(page.locator("#items nav")).not_to_contain_text("Remaining")
    _counts_add_up(page)

    run = page.url
    items = page.locator("#items tbody tr")
    expect(items).to_have_count(4)
    done = items.filter(has_text="Completed").first
    done.get_by_role("link").click()
    expect(page.locator("#panel .foot-line")).to_contain_text("backfill")
    expect(page.locator("#panel .foot-line")).to_contain_text("Billing line V2")
    return run


def _roll_back(window: Visit, run: str) -> None:
    """From the report to the conversations behind a count, and back to the previous results."""
    page = window.page
    window.open(run)
    page.locator("#report").get_by_role("link", name="4 changed").first.click()
    expect(page.locator("#items tbody tr")).to_have_count(4)
    expect(page.locator("#items .chip")).to_contain_text("changed")

    page.locator("#run-rollback").click()
    dialog = window.dialog()
    expect(dialog).to_contain_text("previous result restored")
    dialog.get_by_role("button", name="Roll back 4 calls").click()
    expect(dialog).to_be_hidden()
    page.locator("#toasts").get_by_role("link", name="Open").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Rollback of 4 calls")
    expect(page.locator(".page-lead")).to_contain_text("Completed", timeout=READING_MS)
    expect(page.locator("#items nav")).to_contain_text("Restored")
    page.locator("#items tbody tr").first.get_by_role("link").click()
    expect(page.locator("#panel .foot-line")).to_contain_text("restored")


def _counts_add_up(page: Page) -> None:
    """What the tabs over the items count: in all, and by state."""
    counted: dict[str, int] = {}
    for tab in page.locator("#items nav a").all():
        label, count = tab.inner_text().rsplit(maxsplit=1)
        counted[label.strip()] = int(count)
    assert counted.pop("All") == sum(counted.values()) == 4, counted
    assert counted["Changed"] == 4, counted


def _fill_row(window: Visit, field: str) -> Locator:
    """Choose the field of the last row; the row."""
    row = window.dialog().locator(".filter-row").last
    _choose_field(window, row, field)
    return row


def _choose_field(window: Visit, row: Locator, label: str) -> None:
    """Type a field's name and choose it, and wait until the row has redrawn itself."""
    window.settle()
    row.get_by_role("combobox", name="Field").fill(label)
    row.get_by_role("option", name=label, exact=True).click()
    expect(row.get_by_role("combobox", name="Field")).to_have_value(label)
    expect(row.get_by_label("Operator")).to_be_visible()
    window.settle()


def _choose(window: Visit, select: Locator, label: str) -> None:
    """Choose, and wait until the row has redrawn itself for the choice."""
    window.settle()
    select.select_option(label=label)
    expect(select.locator("option[selected]")).to_have_text(label)
    window.settle()
