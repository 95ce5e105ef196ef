"""Setting a platform up, seeing what was refused, replaying it: as an admin does it."""

import hashlib
import hmac
import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable

import pytest
from django.conf import settings
from playwright.sync_api import expect

from tests.browser.axe import faults
from tests.browser.product import Product, Visit
from tests.config.running import environment

pytestmark = [pytest.mark.browser]


def test_a_new_source_hands_its_secret_out_once_and_waits(visit: Callable[..., Visit]) -> None:
    window = visit()
    page = window.open("/intake/")
    page.locator("#new-source").click()
    dialog = window.dialog()
    dialog.get_by_label("Name").fill("Vapi, sales")
    dialog.get_by_role("link", name="Vapi").click()
    expect(dialog).to_contain_text("Leave blank to generate a strong secret")
    expect(dialog.get_by_label("Name")).to_have_value("Vapi, sales")

    dialog.get_by_role("button", name="Create source").click()
    expect(dialog).to_contain_text("Copy this secret now")
    secret = dialog.locator("code").first.inner_text()
    dialog.get_by_role("link", name="Done").click()

    page.wait_for_url("**/intake/sources/in_*/")
    expect(page.locator("#arrival")).to_contain_text("Waiting for the first event…")
    address = page.locator("dd code").first.inner_text()
    assert address.startswith(f"{window.product.url}/api/intake/vapi/in_")
    assert secret not in page.content()

    page.get_by_label("More").click()
    page.locator("#remove").click()
    expect(dialog).to_contain_text("0 payloads")
    dialog.get_by_role("button", name="Remove source").click()
    page.wait_for_url("**/intake/")
    expect(page.locator("body")).to_contain_text("Vapi, sales removed")


def test_the_page_of_a_source_notices_its_first_payload(visit: Callable[..., Visit]) -> None:
    window = visit()
    page = window.open("/intake/sources/new/?kind=retell")
    page.get_by_label("Name").fill("Retell, support")
    page.get_by_label("Secret").fill("key_browser")
    page.get_by_role("button", name="Create source").click()
    page.wait_for_url("**/intake/sources/in_*/")
    address = page.locator("dd code").first.inner_text()
    window.settle()

    _ring(address, secret="key_of_somebody_else", expect_status=401)
    expect(page.locator("#arrival")).to_contain_text("its events are being rejected")
    _ring(address, secret="key_browser", expect_status=200)
    expect(page.locator("#arrival")).to_contain_text("Connected")
    agents = page.locator("table", has_text="Platform agent")
    expect(agents).to_contain_text("Front desk of the browser")
    expect(agents).to_contain_text("Needs setup")
    found = faults(page, "source") + faults(window.open("/intake/"), "intake")
    assert not found, "\n".join(found)

    page.go_back()
    agents.get_by_role("link", name="Set up").click()
    expect(page.locator("body")).to_contain_text(re.compile("1 calls? arrived before this agent"))


def _ring(address: str, *, secret: str, expect_status: int) -> None:
    """A call that ended, as Retell tells and signs it."""
    said = [{"role": "user", "content": "Can you hear me?"}]
    call = {
        "call_id": "call_browser",
        "agent_id": "agent_browser",
        "agent_name": "Front desk of the browser",
        "call_status": "ended",
        "start_timestamp": 1_760_000_000_000,
        "end_timestamp": 1_760_000_060_000,
        "transcript_object": said,
    }
    body = json.dumps({"event": "call_ended", "call": call}).encode()
    moment = str(int(time.time() * 1000))
    digest = hmac.new(secret.encode(), body + moment.encode(), hashlib.sha256).hexdigest()
    headers = {
        "X-Retell-Signature": f"v={moment},d={digest}",
        "Content-Type": "application/json",
    }
    request = urllib.request.Request(address, data=body, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            status = answer.status
    except urllib.error.HTTPError as error:
        status = error.code
    assert status == expect_status


def test_a_refused_line_is_seen_filtered_and_replayed(
    visit: Callable[..., Visit], product: Product
) -> None:
    _send(product, b'{"external_id": "browser-1", "channel": "fax"}\n{')
    window = visit()
    page = window.open("/intake/")
    expect(page.locator("#refused-summary")).to_contain_text("not JSON 1")

    page.locator("label:has([value=taken])").click()
    window.settle()
    expect(page.locator("#payloads")).not_to_contain_text("Bulk upload")
    page.locator("label:has([value=refused])").click()
    page.get_by_placeholder("ID, event, or reason").press_sequentially("browser-")
    expect(page.locator("#payloads .row-link")).to_have_count(1)
    expect(page).to_have_url(f"{product.url}/intake/?q=browser-&source=&state=refused")

    page.locator("#replay-refused").click()
    expect(window.dialog()).to_contain_text("Replay 1 rejected payload?")
    window.dialog().get_by_role("button", name="Replay 1").click()
    expect(page.locator("#payloads .row-link")).to_have_count(1)
    expect(page.locator("#payloads")).to_contain_text("Rejected", timeout=30_000)

    page.locator("#payloads .row-link").click()
    expect(page.locator(".callout.bad")).to_contain_text("not “fax”")
    page.get_by_role("button", name="Replay").click()
    expect(page.locator("body")).to_contain_text("Rejected again")
    expect(page.locator("dl.props").first).to_contain_text("Replayed")
    found = faults(page, "payload")
    assert not found, "\n".join(found)


def _send(product: Product, lines: bytes) -> None:
    """Through the bulk upload, which names what it refuses."""
    command = [sys.executable, "manage.py", "create_api_key", "intake", "--role", "operator"]
    env = environment(DATA_DIR=str(product.data_dir))
    made = subprocess.run(command, cwd=settings.BASE_DIR, env=env, check=True, capture_output=True)
    headers = {
        "Authorization": f"Bearer {made.stdout.decode().strip()}",
        "Content-Type": "application/x-ndjson",
    }
    request = urllib.request.Request(
        f"{product.url}/api/conversations/bulk", data=lines, headers=headers
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert json.load(answer)["refused"] == 2
