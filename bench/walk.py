"""A person's way through a million conversations in a browser, step by step with its time.

From a click until the page shows what was asked for: the history, filters, a search, insights,
a backfill's preview, Save, progress, Cancel, and the report. `BENCH_PICTURES` names a folder for
a picture of each step. A step that takes over a second feels slow to a person.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.backfills import MESSAGES
from bench.ground import DATA_DIR, until, workers
from bench.history import history

if TYPE_CHECKING:
    from tests.browser.product import Visit

GOAL = 1.0
LATENCY = 0.2
PASSWORD = "bench"
_TRANSCRIPTS = """
INSERT INTO conversations_transcript (conversation_id, messages)
SELECT id, %s FROM (
  (SELECT id FROM conversations_conversation ORDER BY id LIMIT 30000) UNION
  (SELECT id FROM conversations_conversation WHERE channel = 'voice'
   ORDER BY sort_at DESC LIMIT 100)
) AS shown
"""


def main(rows: int = 0) -> list[tuple[str, ...]]:
    """Return a row for each step of the way."""
    from tests.fakes.fixtures import start

    with history(rows):
        fake = start(LATENCY)
        try:
            _prepare(fake.url)
            with _web() as url, workers(1, concurrency=64), _scheduler(), _visit(url) as window:
                return Walk(window).all()
        finally:
            fake.stop()


def _prepare(provider: str) -> None:
    """Point the models to the fake provider, give words to what is read, and make a login."""
    from django.db import connection

    from apps.accounts.models import User
    from apps.llm.models import LanguageModel

    os.environ |= {"OPENAI_BASE_URL": provider, "OPENAI_API_KEY": "fake"}  # of web and worker
    LanguageModel.objects.update(base_url=provider, api_key_env="FAKE_API_KEY")
    User.objects.create_superuser("demo", password=PASSWORD)
    messages = [{"position": n} | message for n, message in enumerate(MESSAGES)]
    with connection.cursor() as cursor:
        cursor.execute(_TRANSCRIPTS, [json.dumps(messages)])


@contextmanager
def _web() -> Iterator[str]:
    """Yield the address of a web server as `manage.py up` starts it."""
    from config import programs
    from tests.config.running import free_port

    port = free_port()
    with _running(programs.web(bind="127.0.0.1", port=port)):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def _scheduler() -> Iterator[None]:
    from config import programs

    with _running(programs.scheduler()):
        yield


@contextmanager
def _running(program: Any) -> Iterator[None]:
    with (DATA_DIR / f"{program.name}.log").open("ab") as log:
        process = subprocess.Popen(
            program.argv, env=os.environ | program.env, stdout=log, stderr=log
        )
        try:
            yield
        finally:
            process.send_signal(program.stop_signal)
            process.wait(timeout=60)


@contextmanager
def _visit(url: str) -> Iterator["Visit"]:
    """Yield a browser window that is signed in."""
    from playwright.sync_api import expect, sync_playwright

    from tests.browser.product import PATIENCE_MS, Product, Visit
    from tests.install_browser import launch

    expect.set_options(timeout=PATIENCE_MS)
    until(lambda: _is_up(url), timeout=60)
    with sync_playwright() as playwright:
        browser = launch(playwright)
        with Visit(browser, Product(url, DATA_DIR, PASSWORD)) as window:
            window.log_in()
            yield window
        browser.close()


def _is_up(url: str) -> bool:
    from urllib.error import URLError
    from urllib.request import urlopen

    try:
        return bool(urlopen(f"{url}/healthz", timeout=5).status == 200)
    except URLError:
        return False


class Walk:
    """The steps, in the order in which an operator takes them."""

    def __init__(self, window: "Visit") -> None:
        from playwright.sync_api import expect

        self.window, self.page, self.expect = window, window.page, expect
        self.pictures = os.environ.get("BENCH_PICTURES", "")
        self.rows: list[tuple[str, ...]] = []

    def all(self) -> list[tuple[str, ...]]:
        """Take every step."""
        self.history()
        self.filters()
        self.conversation()
        self.insights()
        self.preview()
        self.backfill()
        return self.rows

    def step(self, name: str, act: Callable[[], object], goal: float | None = GOAL) -> None:
        """Take one step and note how long it took."""
        began = time.perf_counter()
        act()
        took = time.perf_counter() - began
        wanted = "" if goal is None else f"≤ {goal:.0f} s"
        self.rows.append(("walk", name, f"{took:.2f} s", "", "", "", wanted))
        print(f"{took:6.2f} s  {name}", file=sys.stderr)
        if self.pictures:
            path = Path(self.pictures) / f"{len(self.rows):02}-{re.sub(r'[^a-z]+', '-', name)}.png"
            self.page.screenshot(path=path)

    def history(self) -> None:
        """Read, sort, and turn pages of the history."""
        page = self.page
        self.step("the history", lambda: self.window.open("/calls/"))
        self.step("its exact number", lambda: self._seen(page.get_by_text("1,000,000").first))
        self.step("the next page", lambda: self._followed("Next"))
        self.step("the longest first", lambda: self.window.open("/calls/?sort=-duration_ms"))

    def filters(self) -> None:
        """Narrow the history by a row, by words, and by a number."""
        self.window.open("/calls/")
        self.step("the editor of filters", self._filter_editor)
        self.step("a field chosen", self._agent_chosen)
        self.step("calls of an agent", self._agent_applied)
        for name, query in (
            ("two rows", "field.topic=billing&duration_ms__gte=60000"),
            ("a search", "q=refund"),
            ("a rare search", "q=zeppelin"),
            ("a Chinese search", "q=发票"),
        ):
            self.step(name, partial(self.window.open, f"/calls/?{query}"))

    def conversation(self) -> None:
        """Open a conversation from the list."""
        self.window.open("/calls/")
        self.step("a conversation", self._conversation)

    def insights(self) -> None:
        """Open the insights of 90 days, and wait for the last tile."""
        self.step("insights, the page", lambda: self.page.goto("/insights/?days=90"))
        self.step("insights, every tile", self.window.settle, goal=None)

    def preview(self) -> None:
        """Open the form of a backfill and narrow it."""
        self.window.open("/calls/")
        self.step("the form of a backfill", self._backfill_form)
        self.step("how many conversations match", lambda: self._seen(self._matching()))
        self.step("what it will cost", lambda: self.expect(self._save()).to_be_enabled())
        self.step("a row more", self._one_row, goal=None)
        self.step("how many match now", self._seen_matching)
        self.step("what they will cost", lambda: self.expect(self._save()).to_be_enabled())

    def backfill(self) -> None:
        """Save, watch, and cancel it, and read its report."""
        page = self.page
        self.step("Save", self._saved)
        self.step("the run's page", self._run_page)
        self.step(
            "its list complete",
            lambda: self.expect(page.locator(".page-lead")).to_contain_text("Running"),
            goal=10,
        )
        self.step("the first results", self._first_results, goal=3)
        page.wait_for_timeout(20_000)
        self.step("the dialog of Cancel", self._cancel_dialog)
        self.step("Cancel", self._canceled, goal=3)
        self.step("the run with its report", lambda: self.window.open(page.url))
        self.step("the changed items", self._changed)

    def _seen(self, what: Any) -> None:
        self.expect(what).to_be_visible()

    def _followed(self, link: str) -> None:
        before = self.page.url
        self.page.get_by_role("link", name=link).first.click()
        self.page.wait_for_function("url => location.href !== url", arg=before)
        self.window.settle()

    def _filter_editor(self) -> None:
        self.page.keyboard.press("f")
        self._seen(self.page.locator("details[open] .filter-row").first)

    def _agent_chosen(self) -> None:
        row = self.page.locator("details[open] .filter-row").last
        row.get_by_role("combobox", name="Field").fill("Agent")
        row.get_by_role("option", name="Agent", exact=True).click()
        row.get_by_role("checkbox", name="Line 1").check()

    def _agent_applied(self) -> None:
        page = self.page
        page.get_by_role("button", name="Apply").click()
        self.expect(page).to_have_url(re.compile("agent="))
        self.window.settle()

    def _conversation(self) -> None:
        self.page.locator(".row-link").first.click()
        self._seen(self.page.locator(".transcript .msg").first)

    def _backfill_form(self) -> None:
        self.page.locator("#actions summary").click()
        self.page.get_by_role("link", name="Backfill from Post-Call Data").click()
        self._seen(self.window.dialog().get_by_text("(no filters)"))

    def _matching(self) -> Any:
        return self.window.dialog().locator("strong", has_text=re.compile(r"[\d,]+ calls"))

    def _one_row(self) -> None:
        row = self.window.dialog().locator(".filter-row").last
        row.get_by_role("combobox", name="Field").fill("Duration")
        row.get_by_role("option", name="Duration", exact=True).click()
        row.get_by_label("Operator").select_option(label="≥")
        self.window.settle()
        row.get_by_label("Value").fill("20")

    def _seen_matching(self) -> None:
        self._seen(self.window.dialog().get_by_text(re.compile(r"[\d,]+ calls match")))

    def _save(self) -> Any:
        return self.window.dialog().get_by_role("button", name=re.compile(r"Save · \$"))

    def _saved(self) -> None:
        self._save().click()
        self.expect(self.window.dialog()).to_be_hidden()

    def _run_page(self) -> None:
        self.page.locator("#banner-open").click()
        self._seen(self.page.get_by_role("heading", level=1, name=re.compile("Backfill of")))

    def _first_results(self) -> None:
        changed = self.page.locator("#progress").get_by_text(re.compile(r"[1-9][\d,]* changed"))
        self._seen(changed.first)

    def _cancel_dialog(self) -> None:
        self.page.get_by_role("link", name=re.compile("^Cancel")).first.click()
        self._seen(self.window.dialog())

    def _canceled(self) -> None:
        self.window.dialog().get_by_role("button", name=re.compile("Cancel")).last.click()
        self.expect(self.page.locator(".page-lead")).to_contain_text("Canceled")

    def _changed(self) -> None:
        self.page.locator("#items nav a").filter(has_text="Changed").first.click()
        self.window.settle()


if __name__ == "__main__":
    for line in main(int(sys.argv[1]) if len(sys.argv) > 1 else 0):
        print(" | ".join(line))
