"""From a mapping to HubSpot: calls, the contact's values, the pushes, a rerun, and an erasure.

Against a fake provider that answers by the transcript, and a fake HubSpot account.
"""

import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.conf import settings
from playwright.sync_api import Locator, expect

from tests.browser.axe import faults
from tests.browser.product import Product, Visit
from tests.config.running import environment
from tests.fakes.fixtures import FakeLLM
from tests.fakes.hubspot import TOKEN, HubSpotServer

pytestmark = [pytest.mark.browser]

PHONE = "+12025550177"
#: Seconds on a quiet machine.
READING_MS = 240_000
BROKEN, REFUND = "The parcel came broken.", "Refund it to my card now."
FIRST_READING, NEWER, RERUN = "Broken parcel", "Wants a refund", "Parcel with a broken lid"
LATEST, FIRST = "Latest summary", "First summary"
"""Labels of the contact fields: one is overwritten, one filled only where it is empty."""


@dataclass
class Scene:
    """One window, and the fakes around the product that it shows."""

    window: Visit
    product: Product
    provider: FakeLLM
    hubspot: HubSpotServer
    record: str
    """ID of the person's record at HubSpot."""

    @property
    def properties(self) -> dict[str, Any]:
        """The person's record at HubSpot."""
        return self.hubspot.contacts[self.record]

    def writes(self) -> list[dict[str, Any]]:
        """What was written to the person's record, oldest first."""
        return [
            one["properties"]
            for body in self.hubspot.bodies("/contacts/batch/update")
            for one in body["inputs"]
            if one["id"] == self.record
        ]


@pytest.fixture
def scene(
    visit: Callable[..., Visit], product: Product, provider: FakeLLM, hubspot: HubSpotServer
) -> Iterator[Scene]:
    window = visit(state=None)
    window.log_in()
    hubspot.add_property("latest_summary")
    hubspot.add_property("first_summary")
    record = hubspot.add_contact(firstname="Ada", phone=PHONE)
    yield Scene(window, product, provider, hubspot, record)
    provider.set(answers={})


def test_the_newest_call_counts_at_hubspot_through_a_rerun_and_an_erasure(scene: Scene) -> None:
    agent = _map_the_summary(scene.window)
    connection = _connect(scene)
    key = _make_a_key(scene.product)
    _answer(scene, FIRST_READING)

    older = _send_a_call(scene.product, key, agent, "2025-03-01T10:00:00Z", BROKEN)
    _see_the_contact(scene, {LATEST: (FIRST_READING, older), FIRST: (FIRST_READING, older)})
    _see_the_record(scene, latest=FIRST_READING, first=FIRST_READING)

    newer = _send_a_call(scene.product, key, agent, "2025-03-05T10:00:00Z", REFUND)
    _see_the_contact(scene, {LATEST: (NEWER, newer), FIRST: (FIRST_READING, older)})
    _see_the_record(scene, latest=NEWER, first=FIRST_READING)
    assert scene.writes()[-1] == {"latest_summary": NEWER}  # only what changed
    _see_the_push(scene, connection, {"latest_summary": NEWER})
    _send_again(scene)

    _answer(scene, RERUN)
    _rerun(scene.window, older)
    # The older call still fills the first summary: once that has arrived, the rerun was applied.
    _see_the_contact(scene, {FIRST: (RERUN, older), LATEST: (NEWER, newer)})
    _see_the_record(scene, latest=NEWER, first=RERUN)
    assert scene.writes()[-1] == {"first_summary": RERUN}

    _erase(scene.window, newer)
    _see_the_contact(scene, {LATEST: (RERUN, older), FIRST: (RERUN, older)})
    _see_the_record(scene, latest=RERUN, first=RERUN)
    _see_the_push(scene, connection, {"latest_summary": RERUN})
    assert scene.properties["phone"] == PHONE
    assert not [write for write in scene.writes() if "phone" in write]
    _delete(scene.window, connection)


def _answer(scene: Scene, broken: str) -> None:
    """Let the model say this of the call about the parcel, and always the same of the other."""
    answers = {BROKEN: {"call_summary": broken}, REFUND: {"call_summary": NEWER}}
    scene.provider.set(answers=answers)


def _map_the_summary(window: Visit) -> str:
    """Two contact fields, and mappings of the Billing line to them; the agent's ID."""
    page = window.open("/contacts/fields/")
    dialog = window.dialog()
    for label in (LATEST, FIRST):
        page.locator("#new-field").click()
        dialog.get_by_label("Name").fill(label.lower().replace(" ", "_"))
        dialog.get_by_label("Label").fill(label)
        dialog.get_by_role("button", name=re.compile("field")).click()
        expect(page.locator("main")).to_contain_text(label)

    window.open("/mappings/")
    for label, mode in ((LATEST, "overwrite"), (FIRST, "fill_if_empty")):
        page.locator("#new-mapping").click()
        dialog.get_by_label("Analysis field").fill("call_summary")
        dialog.get_by_label("Agent").select_option(label="Billing line")
        agent = dialog.get_by_label("Agent").input_value()
        dialog.get_by_label("Contact field").select_option(label=label)
        dialog.get_by_label("If the contact has a value").select_option(value=mode)
        dialog.get_by_role("button", name="Create mapping").click()
        row = page.get_by_role("row").filter(has_text=label)
        expect(row).to_contain_text("Billing line")
    return agent


def _connect(scene: Scene) -> str:
    """A HubSpot account, tested, with its fields mapped; the path of its page."""
    window = scene.window
    page = window.open("/crm/")
    page.locator("#new-hubspot").click()
    dialog = window.dialog()
    dialog.get_by_label("Name").fill("Our HubSpot")
    dialog.get_by_label("Access token").fill(TOKEN)
    dialog.get_by_role("button", name="Create connection").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Our HubSpot")
    window.settle()
    page.locator("#test").click()
    dialog.get_by_role("button", name="Test", exact=True).click()
    expect(dialog).to_contain_text("fields read.")
    dialog.get_by_text("Close", exact=True).click()

    page.locator("#edit").click()
    dialog.get_by_label(LATEST).select_option(value="latest_summary")
    dialog.get_by_label(FIRST).select_option(value="first_summary")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden()
    return "/".join(["", *page.url.split("/")[3:]])


def _make_a_key(product: Product) -> str:
    command = [sys.executable, "manage.py", "create_api_key", "calls", "--role", "operator"]
    env = environment(DATA_DIR=str(product.data_dir))
    made = subprocess.run(command, cwd=settings.BASE_DIR, env=env, check=True, capture_output=True)
    return made.stdout.decode().strip()


def _send_a_call(product: Product, key: str, agent: str, at: str, said: str) -> str:
    """A call of one person that is over; the conversation's ID."""
    body = {
        "agent_id": agent,
        "channel": "voice",
        "started_at": at,
        "contact": {"phone_number": PHONE, "first_name": "Ada"},
        "messages": [{"role": "agent", "content": "Billing."}, {"role": "user", "content": said}],
    }
    request = urllib.request.Request(
        f"{product.url}/api/conversations",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        made: dict[str, Any] = json.load(answer)
    return str(made["id"])


def _see_the_contact(scene: Scene, values: dict[str, tuple[str, str]]) -> None:
    """Wait for the values on the contact's page; each names the call that it came from."""
    page = scene.window.page

    def shows() -> bool:
        scene.window.open(f"/contacts/?q={PHONE.removeprefix('+')}")
        link = page.locator(".row-link")
        if not link.count():
            return False
        scene.window.open(link.first.get_attribute("href") or "")
        return all(value in _line(scene, name).inner_text() for name, (value, _) in values.items())

    _wait(shows, f"{values} on the page of the contact")
    for name, (value, conversation) in values.items():
        line = _line(scene, name)
        expect(line.locator(".as-typed").first).to_have_text(value)
        link = line.get_by_role("link", name="Call", exact=True)
        expect(link).to_have_attribute("href", re.compile(f"/{conversation}/$"))


def _line(scene: Scene, label: str) -> Locator:
    return scene.window.page.locator(".props > div").filter(has_text=label)


def _see_the_record(scene: Scene, *, latest: str, first: str) -> None:
    """Wait until HubSpot has exactly these values."""
    wanted = {"latest_summary": latest, "first_summary": first}
    _wait(lambda: wanted.items() <= scene.properties.items(), f"{wanted} at HubSpot")


def _wait(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + READING_MS / 1000
    while not holds():
        assert time.monotonic() < deadline, f"There was never {what}."
        time.sleep(0.3)


def _see_the_push(scene: Scene, connection: str, values: dict[str, str]) -> None:
    """The newest push of the person: what was sent and what came back."""
    page = scene.window.open(connection)
    row = page.get_by_role("row").filter(has_text="Ada").first
    expect(row).to_contain_text("Sent")
    found = faults(page, "connection")
    row.get_by_role("link").click()
    for name, value in values.items():
        expect(page.locator("pre", has_text=name).first).to_contain_text(value)
    expect(page.get_by_role("heading", name="Response")).to_be_visible()
    expect(page.locator("pre", has_text="hs_object_id")).to_contain_text(scene.record)
    found += faults(page, "push")
    assert not found, "\n".join(found)


def _send_again(scene: Scene) -> None:
    page = scene.window.page
    before = len(scene.writes())
    page.locator("#send-again").click()
    expect(page.locator("body")).to_contain_text("Push queued.")
    _wait(lambda: len(scene.writes()) > before, "a second write")
    expect(page.locator("dl.props").first).to_contain_text("Sent")
    assert scene.writes()[before:] == [{"latest_summary": NEWER}]


def _rerun(window: Visit, conversation: str) -> None:
    """Analyze the older call again."""
    page = window.open(f"/conversations/{conversation}/")
    page.get_by_role("link", name="Rerun analysis").click()
    dialog = window.dialog()
    expect(dialog.get_by_label("Update contacts")).to_have_value("on")
    dialog.get_by_role("button", name=re.compile(r"Rerun · ")).click()
    heading = page.locator("#panel").get_by_role("heading", name="Changes from this rerun")
    expect(heading).to_be_visible(timeout=READING_MS)
    expect(page.locator("#panel")).to_contain_text(RERUN)


def _erase(window: Visit, conversation: str) -> None:
    page = window.open(f"/conversations/{conversation}/?tab=details")
    page.locator("#erase").click()
    dialog = window.dialog()
    dialog.get_by_label("Type “erase” to confirm").fill("erase")
    dialog.get_by_role("button", name="Erase 1 call").click()
    page.wait_for_url("**/calls/**")


def _delete(window: Visit, connection: str) -> None:
    page = window.open(connection)
    page.get_by_role("link", name="Delete", exact=True).click()
    window.dialog().get_by_role("button", name="Delete").click()
    expect(page.locator("body")).to_contain_text("Connection deleted.")
