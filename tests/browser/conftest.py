"""One `manage.py up` with the demo and a fake provider, and one Chromium, for all files here.

The provider answers at once and always well: what a real model says is no test of a page. The
bundled model has a test of its own.

In a run of several processes each file starts them anew, so that no work that a file leaves to the
worker delays another's. Both end with the package: Playwright's synchronous interface keeps an
event loop running, which tests of coroutines after it would stumble over.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from playwright.sync_api import Browser, StorageState, expect, sync_playwright

from tests.browser.pages import Places, find_places
from tests.browser.product import PATIENCE_MS, Product, Visit
from tests.config.running import Running, environment
from tests.fakes.fixtures import FakeLLM, start
from tests.fakes.hubspot import HubSpotServer
from tests.install_browser import launch

READY = r"ready at (http://\S+?)/?$"


@pytest.fixture(scope="package")
def provider() -> Iterator[FakeLLM]:
    """A provider that fills in every field."""
    server = start(latency=0.2)
    yield server
    server.stop()


@pytest.fixture(scope="package")
def hubspot() -> Iterator[HubSpotServer]:
    """The HubSpot account that connections of the product lead to."""
    server = HubSpotServer()
    yield server
    server.close()


@pytest.fixture(scope="package")
def product(provider: FakeLLM, hubspot: HubSpotServer) -> Iterator[Product]:
    """Debrief as `make run` starts it with a provider configured, on data of its own."""
    near = {"DJANGO_SETTINGS_MODULE": "tests.browser.settings", "TEST_HUBSPOT_URL": hubspot.url}
    with running(OPENAI_BASE_URL=provider.url, **near) as found:
        yield found


@contextmanager
def running(**env: str) -> Iterator[Product]:
    """Start Debrief with its demo, as `make run` does, until the block is left."""
    if not (settings.STATIC_ROOT / "staticfiles.json").exists():
        command = [sys.executable, "manage.py", "collectstatic", "--noinput", "--verbosity=0"]
        subprocess.run(command, cwd=settings.BASE_DIR, env=environment(), check=True)
    # Not pytest's own folders: a socket's address is short, and the way to it has to be passable.
    with tempfile.TemporaryDirectory(prefix="debrief-seen-", ignore_cleanup_errors=True) as name:
        data_dir = Path(name) / "data"
        with Running(data_dir, WEBHOOK_ALLOW_PRIVATE_ADDRESSES="on", **env) as program:
            url = program.wait_for(READY).group(1)
            yield Product(url, data_dir, (data_dir / "demo_password").read_text().strip())


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """A Chromium."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        chromium = launch(playwright)
        yield chromium
        chromium.close()


@pytest.fixture(scope="package")
def signed_in(product: Product, browser: Browser) -> StorageState:
    """The cookies of the demo login."""
    with Visit(browser, product) as visit:
        visit.log_in()
        return visit.context.storage_state()


@pytest.fixture
def visit(
    product: Product, browser: Browser, signed_in: StorageState
) -> Iterator[Callable[..., Visit]]:
    """Opens windows, logged in unless told otherwise; at the end none may have complained."""
    with ExitStack() as windows:

        def opens(**options: Any) -> Visit:
            window = Visit(browser, product, **{"state": signed_in, **options})
            return windows.enter_context(window)

        yield opens


@pytest.fixture(scope="package")
def places(product: Product, browser: Browser, signed_in: StorageState) -> Places:
    """Where this installation keeps what the tests look at."""
    with Visit(browser, product, state=signed_in) as window:
        return find_places(window)
