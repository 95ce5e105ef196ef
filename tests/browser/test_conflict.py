"""Two people, or one impatient one: nothing is overwritten, nothing is started twice."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.pages import Places
from tests.browser.product import Visit

pytestmark = [pytest.mark.browser]

SENTIMENT = "Prompt for User sentiment"
INSTRUCTIONS = "Analysis prompt"


def test_the_second_editor_is_told_and_overwrites_nothing(
    visit: Callable[..., Visit], places: Places
) -> None:
    # Not the agent of the main path: its draft stays as the demo made it.
    first, second = visit(), visit()
    path = _prompts_of(first, "Technical support line")
    first.open(path)
    second.open(path)

    first.page.get_by_label(SENTIMENT).fill("How did the caller feel at the end?")
    first.page.get_by_role("button", name="Save draft").click()
    expect(first.page.locator("#save-state")).to_contain_text("Saved")

    mine = "You read calls to the technical support line. Be brief."
    second.page.get_by_label(INSTRUCTIONS).fill(mine)
    second.page.get_by_role("button", name="Save draft").click()
    told = second.dialog()
    expect(told).to_contain_text("saved this draft while you were editing")
    expect(told).to_contain_text("nothing was overwritten")
    expect(told).to_contain_text("How did the caller feel at the end?")
    expect(told).to_contain_text("Be brief.")
    expect(second.page.get_by_label(INSTRUCTIONS)).to_have_value(mine)

    saved = first.open(path)
    expect(saved.get_by_label(SENTIMENT)).to_have_value("How did the caller feel at the end?")
    expect(saved.get_by_label(INSTRUCTIONS)).not_to_have_value(mine)

    told.get_by_role("button", name="Keep my changes").click()
    expect(told).to_be_hidden()
    # The page shows what both wrote, and so the next saves put nothing back.
    expect(second.page.get_by_label(SENTIMENT)).to_have_value("How did the caller feel at the end?")
    expect(second.page.get_by_label(INSTRUCTIONS)).to_have_value(mine)
    second.page.get_by_role("button", name="Save draft").click()
    expect(second.page.locator("#save-state")).to_contain_text("Saved")
    second.page.get_by_label("Prompt for Call summary").fill("Ten words.")
    second.page.get_by_role("button", name="Save draft").click()
    expect(second.page.locator("body:not([data-unsaved])")).to_be_attached()
    expect(told).to_be_hidden()
    saved = first.open(path)
    expect(saved.get_by_label(INSTRUCTIONS)).to_have_value(mine)
    expect(saved.get_by_label(SENTIMENT)).to_have_value("How did the caller feel at the end?")
    expect(saved.get_by_label("Prompt for Call summary")).to_have_value("Ten words.")


def _prompts_of(window: Visit, agent: str) -> str:
    page = window.open("/agents/")
    href = page.get_by_role("link", name=agent).first.get_attribute("href") or ""
    return "/".join(href.split("/")[:3]) + "/prompts/"


def test_an_impatient_save_starts_one_run(visit: Callable[..., Visit]) -> None:
    window = visit()
    # Not a call of the main path, which must not find an analysis at work.
    agent = _prompts_of(window, "Technical support line").split("/")[2]
    page = window.open(f"/calls/?agent={agent}&analysis_trigger=imported")
    link = page.locator(".row-link").first.get_attribute("href") or ""
    conversation = link.split("?")[0].rstrip("/").rsplit("/", 1)[1]
    page = window.open("/backfills/")
    before = page.locator("#runs tbody tr").count()
    window.open(f"/calls/?id={conversation}")
    page.locator("#actions summary").click()
    page.get_by_role("link", name="Backfill from Post-Call Data").click()
    dialog = window.dialog()
    expect(dialog).to_contain_text("1 call matches")
    window.settle()
    # The figures follow what is ticked: a Save before they are there is refused, rightly.
    with page.expect_response("**/backfills/preview/"):
        # Open already where a sample is proposed.
        dialog.locator("details", has_text="Options").evaluate(
            "details => { details.open = true; }"
        )
        dialog.get_by_role("checkbox", name="Include").check()
    window.settle()
    save = dialog.get_by_role("button", name=re.compile("^Save"))
    expect(save).to_be_enabled()
    save.evaluate("button => { for (let n = 0; n < 5; n++) button.click(); }")
    expect(dialog).to_have_count(0)
    page = window.open("/backfills/")
    expect(page.locator("#runs tbody tr")).to_have_count(before + 1)
