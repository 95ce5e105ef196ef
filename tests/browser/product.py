"""A running Debrief with its demo, and the browser of a person who uses it."""

from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Response,
    StorageState,
    expect,
)

WIDE = (1440, 900)
PHONE = (390, 844)

#: A busy machine draws slowly; nothing waits this long on a quiet one.
PATIENCE_MS = 20_000


_BUSY = ".htmx-request, .htmx-swapping, .htmx-settling, .htmx-added"

#: Parts that ask for their content once they are seen do so when a frame was drawn.
_FRAME = "() => new Promise(done => requestAnimationFrame(() => setTimeout(done)))"


def open_whole(page: Page, path: str) -> None:
    """Go to a page with script and wait until it has all that it asks for on load.

    Playwright's "networkidle" would wait half a second longer, on each page.
    """
    page.goto(path)
    page.evaluate(_FRAME)
    expect(page.locator(_BUSY)).to_have_count(0, timeout=PATIENCE_MS)


@dataclass(frozen=True)
class Product:
    """A Debrief that runs."""

    url: str
    data_dir: Path
    password: str
    """Of the demo login."""


@dataclass
class Visit:
    """One browser window, which remembers everything that a page complained about."""

    browser: Browser
    product: Product
    size: tuple[int, int] = WIDE
    dark: bool = False
    script: bool = True
    state: StorageState | None = None
    complaints: list[str] = field(default_factory=list)
    """Errors and warnings of the console (a broken CSP is one), exceptions, answers from 400 up."""

    def __enter__(self) -> Self:
        width, height = self.size
        self.context: BrowserContext = self.browser.new_context(
            base_url=self.product.url,
            viewport={"width": width, "height": height},
            color_scheme="dark" if self.dark else "light",
            java_script_enabled=self.script,
            storage_state=self.state,
            reduced_motion="reduce",
            locale="en-GB",
        )
        self.context.set_default_timeout(PATIENCE_MS)
        self.page: Page = self.context.new_page()
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.complaints.append(f"exception: {error}"))
        self.page.on("response", self._answered)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.context.close()
        if kind is None:
            assert not self.complaints, "\n".join(self.complaints)

    def log_in(self) -> None:
        """Through the page, as the demo login."""
        self.page.goto("/login/")
        self.page.get_by_label("Username").fill("demo")
        self.page.get_by_label("Password").fill(self.product.password)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url("**/calls/**")

    def settle(self) -> None:
        """Wait until htmx has nothing under way: no request, no swap, nothing new unbound."""
        self.page.wait_for_load_state()
        if self.script:
            expect(self.page.locator(_BUSY)).to_have_count(0, timeout=PATIENCE_MS)

    def open(self, path: str) -> Page:
        """Go somewhere and wait until it is whole: what a page asks for on load included."""
        if self.script:
            open_whole(self.page, path)
        else:
            self.page.goto(path)
        return self.page

    def dialog(self) -> Locator:
        """The open dialog."""
        return self.page.locator("dialog[open]")

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{self.page.url}: {message.type}: {message.text}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self.complaints.append(f"{response.status} {response.request.method} {response.url}")
