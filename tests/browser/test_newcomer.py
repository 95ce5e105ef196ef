"""A newcomer's first half hour: from an agent that nobody has made yet to a webhook of its result.

Against a fake provider. The call comes over the API, as a program sends it, and the webhook is
received by a small program that verifies it.
"""

import json
import re
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.product import Product, Visit
from tests.fakes.receiver import Receiver

pytestmark = [pytest.mark.browser]

NAME = "Front desk line"
#: Seconds on a quiet machine.
READING_MS = 240_000
FIELDS = {"summary", "topic", "resolved", "sentiment"}

CALL = [
    {"role": "agent", "content": "Front desk, good morning. How can I help?"},
    {"role": "user", "content": "Hello, my invoice for October shows the garage twice."},
    {"role": "agent", "content": "I see it. I have taken one of the two off, 14 euros."},
    {"role": "user", "content": "That was quick, thank you. Goodbye."},
]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    yield server
    server.close()


def test_from_a_template_to_a_webhook(
    visit: Callable[..., Visit], product: Product, receiver: Receiver
) -> None:
    window = visit(state=None)
    window.log_in()
    agent = _make_an_agent(window)
    _try_it(window, agent)
    _publish(window, agent)
    _add_an_endpoint(window, receiver)
    key = _make_a_key(window)
    conversation = _send_a_call(product, key, agent)
    _read_the_analysis(window, conversation)
    _see_the_delivery(window, receiver, agent, conversation)


def _make_an_agent(window: Visit) -> str:
    """A voice agent from the template *Support, short*; its id."""
    page = window.open("/agents/")
    page.get_by_role("link", name="New agent").click()
    dialog = window.dialog()
    dialog.get_by_label("Name").fill(NAME)
    dialog.get_by_label("Start from").select_option(label="Support, short")
    dialog.get_by_role("button", name="Create agent").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(NAME)
    window.settle()
    agent = re.search(r"agt_\w+", page.url)
    assert agent, page.url
    page.get_by_role("link", name="Fields", exact=True).click()
    expect(page.locator("[name='rjf§0§name']")).to_have_value("summary")
    expect(page.locator("[name='rjf§1§choices']")).to_have_value(re.compile("billing"))
    return agent[0]


def _try_it(window: Visit, agent: str) -> None:
    """On three calls of other agents, since it has none; nothing of it is kept as a result."""
    page = window.page
    page.get_by_role("link", name="Test", exact=True).click()
    preview = page.locator("#trial-preview")
    expect(preview).to_contain_text("5 calls to analyze")
    run = page.locator("#trial-run")
    page.get_by_label("Test on").fill("3")
    expect(preview).to_contain_text("3 calls to analyze")
    expect(page.locator("#trial-charge")).to_contain_text(
        "Results aren’t saved, but requests are charged"
    )
    expect(run).to_have_text(re.compile(r"Run on 3 · \$0\.0"))
    run.click()

    expect(page.get_by_role("heading", name="Side by side")).to_be_visible()
    expect(page.locator("#trial-progress")).to_contain_text("took", timeout=READING_MS)
    expect(page.locator("article.trial-item")).to_have_count(3)
    expect(page.locator("#trial-progress")).to_contain_text("3 of 3")
    expect(page.locator("#trial-fields")).to_contain_text("topic")


def _publish(window: Visit, agent: str) -> None:
    page = window.page
    page.locator("#trial-publish").click()
    dialog = window.dialog()
    dialog.get_by_label("Title").fill("First questions")
    dialog.get_by_role("button", name="Publish V0").click()
    expect(dialog).to_be_hidden()
    window.open(f"/agents/{agent}/versions/")
    expect(page.locator("main")).to_contain_text("First questions")


def _add_an_endpoint(window: Visit, receiver: Receiver) -> None:
    page = window.open("/webhooks/")
    page.get_by_role("link", name="New endpoint").click()
    page.get_by_label("URL").fill(receiver.url)
    page.get_by_label("conversation.analyzed").check()
    page.get_by_role("button", name="Create endpoint").click()
    receiver.secret = page.locator("code", has_text="whsec_").first.inner_text()
    page.get_by_role("link", name="Done").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("127.0.0.1")


def _make_a_key(window: Visit) -> str:
    page = window.open("/api-keys/new/")
    page.get_by_label("Name").fill("telephony")
    page.get_by_label("Role").select_option("operator")
    page.get_by_role("button", name="Create key").click()
    return page.locator("code", has_text="dbk_").first.inner_text()


def _send_a_call(product: Product, key: str, agent: str) -> str:
    """As a telephony program does, when the call is over; the conversation's id."""
    body = {"agent_id": agent, "channel": "voice", "messages": CALL, "external_id": "desk-1"}
    request = urllib.request.Request(
        f"{product.url}/api/conversations",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status == 201
        made: dict[str, Any] = json.load(answer)
    return str(made["id"])


def _read_the_analysis(window: Visit, conversation: str) -> None:
    """It starts by itself, and the open page shows it when it is there."""
    page = window.open(f"/conversations/{conversation}/")
    foot = page.locator("#panel .foot-line")
    expect(foot).to_contain_text("V0", timeout=READING_MS)
    for field in ("topic", "follow_up_needed"):
        expect(page.locator("#panel")).to_contain_text(field)


def _see_the_delivery(window: Visit, receiver: Receiver, agent: str, conversation: str) -> None:
    page = window.open("/webhooks/")
    page.get_by_role("link", name=receiver.url).click()
    row = page.get_by_role("row").filter(has_text="conversation.analyzed")
    expect(row.first).to_contain_text("Delivered")

    (received,) = receiver.received
    assert received.verified
    payload = received.payload
    assert payload["event"] == "conversation.analyzed"
    assert (payload["agent_id"], payload["conversation_id"]) == (agent, conversation)
    assert payload["trigger"] == "initial"
    assert payload["conversation"]["external_id"] == "desk-1"
    assert set(payload["analysis"]) <= FIELDS | {"follow_up_needed", "follow_up_notes"}
    assert payload["analysis"]["topic"] in CHOICES


CHOICES = {"billing", "technical_support", "sales", "general", "complaint"}
