"""Takes a picture of every page: `python -m tests.browser.screens FOLDER [SCENE…]`.

Each scene (demo, empty, ugly, readme) is a Debrief of its own, and each page is taken wide and on
a phone, light and dark. To be looked at by a person; what can be tested is in test_accessibility.
The pictures of docs/images are of the scene readme, wide and light.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.pages import Places, find_places
from tests.browser.product import PHONE, WIDE, Product, Visit
from tests.config.running import Running, environment
from tests.install_browser import launch

SCENES = ("demo", "empty", "ugly", "readme")
LOOKS = {
    "wide-light": (WIDE, False),
    "wide-dark": (WIDE, True),
    "phone-light": (PHONE, False),
    "phone-dark": (PHONE, True),
}
EMPTY = ("/login/", "/calls/", "/chats/", "/agents/", "/backfills/", "/contacts/",
         "/contacts/fields/", "/mappings/", "/costs/", "/costs/budgets/",
         "/insights/",
         "/insights/customer-success/", "/insights/sales/", "/insights/quality/",
         "/insights/reports/", "/alerts/", "/alerts/rules/", "/follow-ups/", "/follow-ups/rules/",
         "/derived-fields/", "/exports/", "/views/?channel=voice",
         "/api-keys/", "/people/", "/audit/", "/intake/", "/webhooks/", "/crm/",
         "/profile/", "/agents/new/",
         "/backfills/new/?channel=voice")  # fmt: skip
README_TOPICS = ("double_charge", "payment_failed", "plan_price", "refund")
TWELVE_FILTERS = (
    "/calls/?agent__isset=true&status=ended&status=error&duration_ms__gte=0&message_count__gte=0"
    "&language__ne=xx&direction__ne=outbound&from_number__contains=%2B1555&source=ugly"
    "&external_id__startswith=failed&cost=0&analysis_cost__isset=false"
    "&call_summary__isset=false&nonsense=%3Cb%3E&sort=-duration_ms"
)


def main() -> None:
    """Take them all, or only the scenes, looks and pages that are named."""
    parser = argparse.ArgumentParser(description="Take a picture of every page.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("scenes", nargs="*", default=SCENES, help=f"of {', '.join(SCENES)}")
    parser.add_argument("--look", choices=LOOKS, action="append")
    parser.add_argument("--only", action="append", help="pages whose name contains this, or this")
    asked = parser.parse_args()
    if unknown := set(asked.scenes) - set(SCENES):
        parser.error(f"there is no scene named {', '.join(sorted(unknown))}")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    with sync_playwright() as playwright:
        browser = launch(playwright)
        for scene in asked.scenes:
            with _running(scene) as product:
                for look in asked.look or LOOKS:
                    _take(browser, product, scene, look, asked.folder, asked.only or [""])


@contextmanager
def _running(scene: str) -> Iterator[Product]:
    # A key that nothing is sent with: it makes the pages show a priced model.
    priced = {"OPENAI_API_KEY": "none"} if scene == "readme" else {}
    with tempfile.TemporaryDirectory(prefix="debrief-seen-", ignore_cleanup_errors=True) as name:
        data_dir = Path(name) / "data"
        with Running(data_dir, *(["--no-demo"] if scene == "empty" else []), **priced) as running:
            url = running.wait_for(r"ready at (http://\S+?)/?$").group(1)
            env = environment(DATA_DIR=str(data_dir))
            if scene in {"demo", "ugly"}:
                _python("-m", "tests.browser.changed", env=env)
            if scene == "ugly":
                _python("-m", "tests.browser.ugly", env=env)
            if scene == "empty":
                make = "from apps.accounts.services import ensure_demo_user as e; e('empty-demo-1')"
                _python("manage.py", "shell", "--command", make, env=env)
                (data_dir / "demo_password").write_text("empty-demo-1")
            yield Product(url, data_dir, (data_dir / "demo_password").read_text().strip())


def _python(*arguments: str, env: dict[str, str]) -> None:
    subprocess.run([sys.executable, *arguments], cwd=settings.BASE_DIR, env=env, check=True)


def _take(  # noqa: PLR0917 (it is called once)
    browser: Browser, product: Product, scene: str, look: str, folder: Path, only: list[str]
) -> None:
    size, dark = LOOKS[look]
    with Visit(browser, product, size=size, dark=dark) as window:
        window.log_in()
        for name, show in _shown(scene, window).items():
            if not any(part in name for part in only):
                continue
            show(window.page)
            target = folder / scene / f"{name}-{look}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            window.page.screenshot(path=target)
        for complaint in window.complaints:
            print(f"{scene} {look}: {complaint}", flush=True)  # noqa: T201 (for the person)
        window.complaints.clear()


def _shown(scene: str, window: Visit) -> dict[str, Callable[[Page], None]]:
    def at(path: str) -> Callable[[Page], None]:
        return lambda page: void(window.open(path))

    if scene == "empty":
        return {path.strip("/").split("?")[0].replace("/", "-"): at(path) for path in EMPTY}
    if scene == "ugly":
        return _ugly(window, at)
    places = find_places(window)
    if scene == "readme":
        opened = _opened(window, places)
        topics = "&".join(f"analysis.topic={name}" for name in README_TOPICS)
        calls = f"/calls/?agent={places.agent_id}&{topics}"
        views = ("customer-success", "sales", "quality")
        return {
            "calls": at(calls),
            "backfill": opened["dialog-backfill"],
            **{name: at(f"/insights/{name}/?days=90") for name in views},
        }
    shown = {name: at(path) for name, path in places.pages().items()}
    return shown | _opened(window, places) | _crm(window, at) | _changed(window, at)


def _opened(window: Visit, places: Places) -> dict[str, Callable[[Page], None]]:
    """What shows only after a click."""

    def clicked(path: str, *openers: str) -> Callable[[Page], None]:
        def show(page: Page) -> None:
            window.open(path)
            for opener in openers:
                page.locator(opener).first.click()
                window.settle()
            window.settle()
            page.wait_for_timeout(300)

        return show

    actions = ("#actions summary", "#actions-backfill")
    return {
        "dialog-rerun": clicked(places.call, "#rerun"),
        "dialog-caps": clicked("/costs/budgets/", "#change-caps"),
        "dialog-backfill": clicked(f"/calls/?agent={places.agent_id}", *actions),
        "dialog-try": clicked(f"/calls/?agent={places.agent_id}", *actions, "#backfill-try"),
        "dialog-contact-edit": clicked(places.contact, "#edit"),
        "dialog-contact-history": clicked(places.contact, "text=History"),
        "dialog-contact-field": clicked("/contacts/fields/", "#new-field"),
        "menu-contact-filter": clicked("/contacts/", "summary:has-text('Add filter')"),
        "dialog-mapping": clicked("/mappings/", "#new-mapping"),
        "dialog-mapping-delete": clicked("/mappings/", "[id^=delete-map]"),
        "dialog-apply-mappings": clicked("/mappings/", "#apply-mappings"),
        "dialog-apply": clicked("/mappings/", "#apply-mappings"),
        "dialog-apply-filter": clicked("/mappings/", "#apply-mappings", "dialog [name=add]"),
        "dialog-crm": clicked("/crm/", "#new-hubspot"),
        "dialog-publish": clicked(f"{places.agent}prompts/", "text=Publish V"),
        "dialog-start": clicked(f"{places.agent}fields/", "#start"),
        "dialog-compare": clicked(f"{places.agent}prompts/", "#view-changes"),
        "dialog-intake": clicked("/intake/", "#new-source"),
        "dialog-intake-vapi": clicked("/intake/", "#new-source", "#kind-vapi"),
        "menu-filter": clicked("/calls/", "summary:has-text('Add filter')"),
        "menu-columns": clicked("/calls/", "summary:has-text('Columns')"),
        "menu-actions": clicked("/calls/", "#actions summary"),
        "selected": clicked("/calls/", "[data-select-row] >> nth=1", "[data-select-row] >> nth=2"),
    }


def _ugly(
    window: Visit, at: Callable[[str], Callable[[Page], None]]
) -> dict[str, Callable[[Page], None]]:
    page = window.open("/calls/?source=ugly")
    links = [link.get_attribute("href") or "" for link in page.locator(".row-link").all()]
    page = window.open("/agents/")
    agent = page.locator(".row-link", has_text="الفواتير").first.get_attribute("href") or ""
    base = "/".join(agent.split("/")[:3])
    page = window.open("/contacts/?fields.ugly__isset=true")
    contact = page.locator(".row-link").first.get_attribute("href") or ""
    page = window.open("/alerts/")
    row = page.locator("tr", has_text="الفواتير").locator(".row-link")
    incident = row.first.get_attribute("href") or ""
    shown = {f"call-{n:02}": at(link) for n, link in enumerate(links)}
    shown |= {f"call-{n:02}-details": at(f"{links[n]}&tab=details") for n in (0, 20)}
    return shown | {
        "calls": at("/calls/?source=ugly"),
        "calls-twelve": at(TWELVE_FILTERS),
        "agents": at("/agents/"),
        "costs": at("/costs/"),
        "budgets": at("/costs/budgets/"),
        "budget-edit": at("/costs/budgets/edit/"),
        "insights": at("/insights/?channel=voice&whole=1"),
        "contacts": at("/contacts/?fields.ugly__isset=true"),
        "contact": at(contact),
        "contact-edit": at(f"{contact}edit/"),
        "alerts": at("/alerts/"),
        "alert-rules": at("/alerts/rules/"),
        "incident": at(incident),
        "derived-fields": at("/derived-fields/"),
        "follow-ups": at("/follow-ups/"),
        "follow-up-rules": at("/follow-ups/rules/"),
        "insights-quality": at("/insights/quality/?channel=voice&whole=1"),
        **_intake(window, at),
        **_webhooks(window, at),
        **_crm(window, at),
        "agent-prompts": at(f"{base}/prompts/"),
        "agent-fields": at(f"{base}/fields/"),
        "agent-try-it": at(f"{base}/try/"),
        "agent-versions": at(f"{base}/versions/"),
    }


def _webhooks(
    window: Visit, at: Callable[[str], Callable[[Page], None]]
) -> dict[str, Callable[[Page], None]]:
    """An endpoint that is nowhere to be found, and what it should have got."""
    page = window.open("/webhooks/")
    endpoint = page.locator(".row-link").first.get_attribute("href") or ""
    page = window.open(endpoint)
    delivery = page.locator(".row-link").last.get_attribute("href") or ""
    shown = {"webhooks": "/webhooks/", "webhook": endpoint, "webhook-delivery": delivery}
    shown |= {f"webhook-{form}": f"{endpoint}{form}/" for form in ("edit", "test", "disable")}
    return {name: at(path) for name, path in shown.items()}


def _crm(
    window: Visit, at: Callable[[str], Callable[[Page], None]]
) -> dict[str, Callable[[Page], None]]:
    """Connections that hold changes and that were stopped, and pushes in every state."""
    page = window.open("/crm/")
    links = [link.get_attribute("href") or "" for link in page.locator(".row-link").all()]
    shown = {"crm": "/crm/"}
    shown |= {f"crm-new-{kind}": f"/crm/new/{kind}/" for kind in ("http", "hubspot", "salesforce")}
    for number, link in enumerate(links):
        page = window.open(f"{link}?state=parked")
        push = page.locator(".row-link").first.get_attribute("href") or ""
        shown |= {f"crm-{number}": link, f"crm-{number}-push": push}
        for form in ("approval", "edit", "test", "disable", "enable", "delete"):
            shown[f"crm-{number}-{form}"] = f"{link}{form}/"
    return {name: at(path) for name, path in shown.items()}


def _changed(
    window: Visit, at: Callable[[str], Callable[[Page], None]]
) -> dict[str, Callable[[Page], None]]:
    """A backfill that changed results: its report, and what leads on from it."""
    page = window.open("/backfills/")
    run = page.locator(".row-link").first.get_attribute("href") or ""
    page = window.open(f"{run}report/")
    change = page.locator("a[href*='changed=']").first.get_attribute("href") or ""

    def rollback(page: Page) -> None:
        window.open(change)
        page.locator("#rollback-these").click()
        window.settle()
        page.locator("dialog [name=add]").first.click()
        window.settle()

    def foot(page: Page) -> None:
        window.open(f"{run}report/")
        page.keyboard.press("End")

    def imported(page: Page) -> None:
        window.open("/contacts/import/")
        rows = "phone_number,first_name,plan\n+12025550111,Ada,pro\nnonsense,Bob,free\n"
        upload = {"name": "people.csv", "mimeType": "text/csv", "buffer": rows.encode()}
        page.locator("input[type=file]").set_input_files(upload)  # type: ignore[arg-type]
        page.get_by_role("button", name="Upload").click()
        window.settle()

    return {
        "run": at(run),
        "run-report": at(f"{run}report/"),
        "run-report-foot": foot,
        "run-changed": at(change),
        "run-rollback": at(f"{run}rollback/"),
        "dialog-rollback": rollback,
        "contact-import-check": imported,
    }


def _intake(
    window: Visit, at: Callable[[str], Callable[[Page], None]]
) -> dict[str, Callable[[Page], None]]:
    """What arrived, by links of the page: every source, and the payloads that spoil pages."""
    page = window.open("/intake/")
    links = [link.get_attribute("href") or "" for link in page.locator(".row-link").all()]
    sources = [link for link in links if "/sources/" in link]
    payloads = [link for link in links if "/payloads/" in link]
    shown = {f"intake-source-{n}": at(link) for n, link in enumerate(sources)}
    shown |= {f"intake-payload-{n}": at(payloads[n]) for n in (0, 1, 3, 4, 5)}
    return shown | {
        "intake": at("/intake/"),
        "intake-refused": at("/intake/?state=refused&code=unknown_agent"),
        "intake-agent": at(f"{sources[0]}agent/"),
        "intake-secret": at(f"{sources[0]}secret/"),
        "intake-change": at(f"{sources[0]}change/"),
        "intake-remove": at(f"{sources[0]}remove/"),
        "platforms.replay": at("/intake/replay/"),
    }


def void(_: object) -> None:
    """For lambdas that are called for what they do."""


if __name__ == "__main__":
    main()
