"""From a mapping to a CRM: an analyzed call, the contact's value, the push, and sending again.

Against a fake provider and a small program that takes changed contacts and verifies them.
"""

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from playwright.sync_api import Locator, expect

from tests.browser.product import Product, Visit
from tests.browser.test_accessibility import faults
from tests.config.running import environment
from tests.fakes.receiver import Answer, Received, Receiver

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

PHONE = "+12025550177"
#: Seconds on a quiet machine.
READING_MS = 240_000


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    server.always(Answer(200, '{"stored": true}'))
    yield server
    server.close()


def test_a_mapped_value_reaches_the_crm_and_an_older_call_does_not_replace_it(
    visit: Callable[..., Visit], product: Product, receiver: Receiver
) -> None:
    window = visit(state=None)
    window.log_in()
    agent = _map_the_summary(window)
    connection = _connect(window, receiver)
    key = _make_a_key(product)

    older = _send_a_call(product, key, agent, "2025-03-01T10:00:00Z", "The parcel came broken.")
    _read(window, older)
    newer = _send_a_call(product, key, agent, "2025-03-05T10:00:00Z", "Refund it to my card now.")
    value = _read(window, newer)
    contact = _see_the_contact(window, value, newer)

    _see_the_push(window, receiver, connection, value)
    _send_again(window, receiver, value)
    _rerun(window, older)
    _see_the_contact(window, value, newer)
    last = _received(receiver)[-1].payload
    assert last["after"] == {"crm_summary": value}
    assert last["contact"]["id"] == contact.split("/")[2]
    _delete(window, connection)


def _map_the_summary(window: Visit) -> str:
    """A contact field, and a mapping of the Billing line to it; the agent's id."""
    page = window.open("/contacts/fields/")
    page.locator("#new-field").click()
    dialog = window.dialog()
    dialog.get_by_label("Name").fill("crm_summary")
    dialog.get_by_label("Label").fill("CRM summary")
    dialog.get_by_role("button", name=re.compile("field")).click()
    expect(page.locator("main")).to_contain_text("crm_summary")

    window.open("/mappings/")
    page.locator("#new-mapping").click()
    dialog.get_by_label("Analysis field").fill("call_summary")
    dialog.get_by_label("Agent").select_option(label="Billing line")
    agent = dialog.get_by_label("Agent").input_value()
    dialog.get_by_label("Contact field").select_option(label="CRM summary")
    dialog.get_by_role("button", name="Create mapping").click()
    row = page.get_by_role("row").filter(has_text="CRM summary")
    expect(row).to_contain_text("Billing line")
    return agent


def _connect(window: Visit, receiver: Receiver) -> str:
    """An HTTP endpoint, tested; the path of its page."""
    page = window.open("/crm/")
    page.locator("#new-http").click()
    dialog = window.dialog()
    dialog.get_by_label("Name").fill("Customer database")
    dialog.get_by_label("URL").fill(receiver.url)
    dialog.get_by_role("button", name="Create connection").click()
    receiver.secret = dialog.locator("code", has_text="whsec_").first.inner_text()
    dialog.get_by_role("link", name="Done").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Customer database")
    window.settle()
    path = "/".join(["", *page.url.split("/")[3:]])

    page.locator("#edit").click()
    dialog.get_by_label("CRM summary").fill("crm_summary")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden()
    page.locator("#test").click()
    dialog.get_by_role("button", name="Test", exact=True).click()
    expect(dialog).to_contain_text("The endpoint accepted an example and returned 200.")
    assert any(one.verified and one.payload.get("test") for one in receiver.received)
    return path


def _make_a_key(product: Product) -> str:
    command = [sys.executable, "manage.py", "create_api_key", "calls", "--role", "operator"]
    env = environment(DATA_DIR=str(product.data_dir))
    made = subprocess.run(command, cwd=settings.BASE_DIR, env=env, check=True, capture_output=True)
    return made.stdout.decode().strip()


def _send_a_call(product: Product, key: str, agent: str, at: str, said: str) -> str:
    """A call of one person that is over; the conversation's id."""
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


def _read(window: Visit, conversation: str) -> str:
    """Wait for the result; what it set the contact's field to."""
    page = window.open(f"/conversations/{conversation}/")
    expect(page.locator("#panel .foot-line")).to_contain_text("Billing line", timeout=READING_MS)
    page.locator("#tab-contact").click()
    panel = page.locator("#panel")
    expect(panel.get_by_role("heading", name="From this conversation")).to_be_visible()
    return _value(panel).inner_text().strip()


def _value(place: Locator) -> Locator:
    return place.locator(".props > div").filter(has_text="CRM summary").locator(".as-typed").first


def _see_the_contact(window: Visit, value: str, conversation: str) -> str:
    """The value, and the call that it came from; the path of the contact's page."""
    page = window.open(f"/contacts/?q={PHONE.removeprefix('+')}")
    page.locator(".row-link").first.click()
    line = page.locator(".props > div").filter(has_text="CRM summary")
    expect(line).to_contain_text(value)
    link = line.get_by_role("link", name="Call", exact=True)
    expect(link).to_have_attribute("href", re.compile(conversation))
    return "/".join(["", *page.url.split("/")[3:]])


def _received(receiver: Receiver) -> list[Received]:
    """What came of the person: calls of the demo may change other contacts meanwhile."""
    return [one for one in receiver.received if one.payload["contact"]["phone_number"] == PHONE]


def _see_the_push(window: Visit, receiver: Receiver, connection: str, value: str) -> None:
    """What was sent and what came back."""
    page = window.open(connection)
    row = page.get_by_role("row").filter(has_text="Ada").first
    expect(row).to_contain_text("Sent")
    received = _received(receiver)[-1]
    assert received.verified
    assert received.payload["after"] == {"crm_summary": value}
    found = faults(page, "connection")
    row.get_by_role("link").click()
    expect(page.locator("pre", has_text="contact.changed")).to_contain_text(value)
    expect(page.locator("pre", has_text="stored")).to_contain_text('"stored": true')
    found += faults(page, "push")
    assert not found, "\n".join(found)


def _send_again(window: Visit, receiver: Receiver, value: str) -> None:
    page = window.page
    before = len(_received(receiver))
    page.locator("#send-again").click()
    expect(page.locator("body")).to_contain_text("Push queued.")
    expect(page.locator("dl.props").first).to_contain_text("Sent")
    expect(page.locator("#send-again")).to_be_visible()
    received = _received(receiver)
    assert len(received) == before + 1
    assert received[-1].payload["after"] == {"crm_summary": value}


def _rerun(window: Visit, conversation: str) -> None:
    """Analyze the older call again."""
    page = window.open(f"/conversations/{conversation}/")
    page.get_by_role("link", name="Rerun analysis").click()
    dialog = window.dialog()
    expect(dialog.get_by_label("Update contacts")).to_have_value("on")
    dialog.get_by_role("button", name=re.compile(r"Rerun · ")).click()
    ended = page.locator("#panel").get_by_role(
        "heading", name=re.compile("Changes from this rerun|No changes")
    )
    expect(ended).to_be_visible(timeout=READING_MS)


def _delete(window: Visit, connection: str) -> None:
    page = window.open(connection)
    page.get_by_role("link", name="Delete", exact=True).click()
    window.dialog().get_by_role("button", name="Delete").click()
    expect(page.locator("body")).to_contain_text("Connection deleted.")
