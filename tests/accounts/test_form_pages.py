"""Every form that opens as a page and as a dialog: wrong twice, then right, in both."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.test.html import Element, parse_html
from pytest_django import DjangoDbBlocker

from apps.accounts.models import Role, User
from tests.accounts.access_table import ACCESS
from tests.accounts.things import things
from tests.accounts.url_map import Url, urls

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}
TYPED = {"text", "email", "url", "number", "password", "search"}
LONG = "x" * 300, "y" * 300

URLS = {
    url.name: url
    for url in urls()
    if not url.is_api and {"GET", "POST"} <= set(ACCESS.get(url.key, {}))
}
QUERIES = {
    "erasing:selected": {"channel": "voice", "id": "{conv_id}"},
    "runs:trial_new": {"channel": "voice", "agent": "{agent_id}"},
    "runs:new": {"channel": "voice", "agent": "{agent_id}"},
    "conversations:export_new": {"channel": "voice"},
    "conversations:saved_view_new": {"channel": "voice"},
    "follow_ups:new": {"channel": "voice", "id": "{conv_id}"},
    "follow_ups:assign": {"id": "{follow_up_id}"},
}
SAME_NAME = {
    "alerts": {"rule_id": "alert_rule_id"},
    "conversations": {"view_id": "shared_view_id"},
    "runs": {"name": "derived_name"},
}
"""Path parameters of an app that stand for another thing here."""
PAGES_OF_THEIR_OWN = {
    "home", "accounts:login", "accounts:sign_in_link", "accounts:profile",
    "accounts:choose_password",
    "runs:try_it",
    "agents:prompts", "agents:fields", "agents:post_analysis", "contacts:import",
    "contacts:import_check", "crm:approval", "conversations:export_new", "alerts:new",
    "alerts:edit", "runs:derived_new", "runs:derived_edit", "runs:derived_recompute",
}  # fmt: skip
"""They answer a POST, and never open as a dialog."""


SHOWN_ONCE = {
    "accounts:api_key_new", "webhooks:new", "accounts:person_new", "intake:source_new", "crm:new",
}  # fmt: skip
"""They answer with a page that shows what can be seen once."""


@dataclass(frozen=True)
class Tried:
    """What is typed into a field: two values that are refused, and all that is right."""

    field: str
    wrong: tuple[str, str]
    right: dict[str, Any]
    shown_again: bool = True
    """But for a password and a choice that there is not."""


TRIED = {
    "accounts:api_key_new": Tried("name", LONG, {"name": "CI", "role": "viewer"}),
    "accounts:person_new": Tried(
        "username", ("no blanks", "nor these"), {"username": "new", "role": "viewer"}
    ),
    "accounts:person_edit": Tried("email", ("nope", "still@nope"), {"email": "a@example.com"}),
    "accounts:person_password": Tried(
        "password", ("short", "12345678"), dict.fromkeys(("password", "again"), "so-long-a-word-7"),
        shown_again=False,
    ),
    "agents:new": Tried("name", LONG, {"name": "Second line", "channel": "chat"}),
    "agents:rename": Tried("name", LONG, {"name": "Another name"}),
    "agents:publish": Tried("title", LONG, {"title": "First"}),
    "agents:start": Tried(
        "source", ("nope", "agt_nope"), {"source": "support_short"}, shown_again=False
    ),
    "analysis:rerun": Tried("webhooks", ("nope", "none"), {"webhooks": "off"}, shown_again=False),
    "analysis:restore": Tried(
        "webhooks", ("nope", "none"), {"webhooks": "off"}, shown_again=False
    ),
    "runs:budget": Tried("budget", ("many", "-4"), {"budget": "12.50"}),
    "runs:new": Tried("sample", ("-3", "-4"), {"sample": "1"}),
    "runs:trial_new": Tried("how_many", ("0", "101"), {}, shown_again=False),
    "contacts:new": Tried("phone_number", ("nope", "12"), {"phone_number": "+12025550155"}),
    "contacts:edit": Tried("email", ("nope", "still@nope"), {"email": "other@example.com"}),
    "contacts:field_new": Tried("name", ("Not this", "9nor_this"), {"name": "renewal_date"}),
    "contacts:field_edit": Tried("label", LONG, {"label": "Another label"}),
    "insights:budget_edit": Tried("day", ("many", "-4"), {"day": "12.50"}),
    "insights:budget_new": Tried("day", ("many", "-4"), {"day": "12.50", "agent": "{agent_id}"}),
    "insights:budget_agent": Tried("month", ("many", "-4"), {"month": "12.50"}),
    "insights:report_new": Tried(
        "name", LONG, {"name": "Weekly", "weekday": "0", "hour": "8", "channel": "voice"}
    ),
    "insights:report_edit": Tried(
        "name", LONG, {"name": "Weekly", "weekday": "0", "hour": "8", "channel": "voice"}
    ),
    "mappings:new": Tried(
        "analysis_field", LONG, {"analysis_field": "call_summary", "contact_field": "first_name"}
    ),
    "mappings:edit": Tried("analysis_field", LONG, {"analysis_field": "user_sentiment"}),
    "crm:new": Tried("url", ("nope", "ftp://8.8.8.8/"), {"url": "https://8.8.8.8/crm-2"}),
    "crm:edit": Tried("url", ("nope", "ftp://8.8.8.8/"), {"url": "https://8.8.8.8/crm-3"}),
    "erasing:conversation": Tried("word", ("eras", "delete"), {"word": "erase"}),
    "erasing:selected": Tried("word", ("eras", "delete"), {"word": "erase"}),
    "intake:source_new": Tried("name", LONG, {"name": "Second", "secret": "key_second_0123456789"}),
    "intake:source_change": Tried("wait_minutes", ("-3", "-4"), {"wait_minutes": "7"}),
    "intake:source_secret": Tried(
        "secret", ("a\x00b", "c\x00d"), {"secret": "key_other_0123456789"}, shown_again=False
    ),
    "intake:source_agent": Tried(
        "external_id", LONG, {"external_id": "theirs-1", "agent": "{agent_id}"}
    ),
    "conversations:saved_view_new": Tried("name", LONG, {"name": "Long calls"}),
    "conversations:saved_view_edit": Tried("name", LONG, {"name": "Ended calls"}),
    "follow_ups:rule_new": Tried(
        "due_days", ("-3", "-4"),
        {"agent": "{agent_id}", "due_days": "5", "row-0-field": "duration_ms",
         "row-0-was": "duration_ms", "row-0-op": "gte", "row-0-value": "60"},
    ),
    "follow_ups:rule_edit": Tried("due_days", ("-3", "-4"), {"due_days": "5"}),
    "follow_ups:edit": Tried("reason", ("x" * 2_500, "y" * 2_500), {"reason": "Call back"}),
    "alerts:note": Tried("note", ("x" * 20_000, "y" * 20_000), {"note": "Looking at it"}),
    "webhooks:new": Tried(
        "url", ("nope", "ftp://8.8.8.8/"),
        {"url": "https://8.8.8.8/a", "events": ["conversation.ended"]},
    ),
    "webhooks:edit": Tried("url", ("nope", "ftp://8.8.8.8/"), {"url": "https://8.8.8.8/b"}),
    "webhooks:test": Tried(
        "events", ("nope", "none"), {"events": ["conversation.ended"]}, shown_again=False
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def there(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[dict[str, str]]:
    """Things that exist, made once for all tests here."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield things()
        transaction.set_rollback(True)


@pytest.fixture
def admin(there: dict[str, str]) -> Client:
    client = Client()
    client.force_login(User.objects.create_user("boss", role=Role.ADMIN))
    return client


def address(url: Url, there: dict[str, str]) -> str:
    query = "&".join(
        f"{name}={value.format(**there)}" for name, value in QUERIES.get(url.name, {}).items()
    )
    names = SAME_NAME.get(url.name.partition(":")[0], {})
    named = {**there, **{name: there[own] for name, own in names.items()}}
    return url.path(named) + (f"?{query}" if query else "")


def walk(node: Any, *above: Element) -> Iterator[tuple[Element, tuple[Element, ...]]]:
    if isinstance(node, Element):
        yield node, above
        for child in node.children:
            yield from walk(child, *above, node)


def value_of(element: Element, name: str) -> str | None:
    """The value of an attribute; "" for one without a value, None where there is none."""
    for key, value in element.attributes:
        if key == name:
            return value or ""
    return None


def twice(text: str) -> list[str]:
    """The ids that stand in a page more than once."""
    ids = Counter(value_of(element, "id") for element, _ in walk(parse_html(text)))
    return [name for name, count in ids.items() if name and count > 1]


def inputs(text: str) -> dict[str, Any]:
    """What a browser would send of the one form that is shown, and by whom it is named."""
    sent: dict[str, Any] = {}
    for element, above in walk(parse_html(text)):
        name = value_of(element, "name")
        if not name or not any(value_of(e, "method") == "post" for e in above if e.name == "form"):
            continue
        if element.name == "select":
            options = [e for e, _ in walk(element) if e.name == "option"]
            chosen = [e for e in options if value_of(e, "selected") is not None] or options[:1]
            sent[name] = [value_of(e, "value") or "" for e in chosen]
        elif element.name == "textarea":
            sent[name] = "".join(str(child) for child in element.children).strip()
        elif value_of(element, "type") in {"checkbox", "radio"}:
            if value_of(element, "checked") is not None:
                sent.setdefault(name, []).append(value_of(element, "value") or "on")
        elif element.name == "input":
            sent[name] = value_of(element, "value") or ""
    return sent


def test_every_page_with_a_form_is_here(admin: Client, there: dict[str, str]) -> None:
    for name, url in URLS.items():
        if name in PAGES_OF_THEIR_OWN:
            continue
        response = admin.get(address(url, there))
        assert response.status_code == 200, name
        assert "dialog-page" in response.text, f"{name}: a page that is no form: name it above"
        typed = [
            value_of(element, "name")
            for element, above in walk(parse_html(response.text))
            if any("dialog-page" in (value_of(e, "class") or "") for e in above)
            and not any(value_of(e, "method") == "get" for e in above)  # a search loses nothing
            and (element.name == "textarea" or value_of(element, "type") in TYPED)
        ]
        assert name in TRIED or not typed, f"{name} takes {typed}: say in TRIED what is wrong"


@pytest.mark.parametrize("name", sorted(set(URLS) - PAGES_OF_THEIR_OWN))
def test_a_form_that_is_a_page_is_sent_as_one(
    admin: Client, there: dict[str, str], name: str
) -> None:
    text = admin.get(address(URLS[name], there)).text
    assert not twice(text)
    for element, above in walk(parse_html(text)):
        if not any("dialog-page" in (value_of(e, "class") or "") for e in above):
            continue
        into_a_dialog = value_of(element, "hx-target") == "#dialog"
        off = any(value_of(e, "hx-disable") is not None for e in above)
        assert off or not into_a_dialog, f"{name}: {element.name} opens a dialog over its own form"


@pytest.mark.parametrize("htmx", [False, True], ids=["page", "dialog"])
@pytest.mark.parametrize("name", TRIED)
def test_wrong_twice_then_right(
    admin: Client, there: dict[str, str], name: str, htmx: bool
) -> None:
    tried, path = TRIED[name], address(URLS[name], there)
    headers = HTMX if htmx else {}
    text = admin.get(path, headers=headers).text
    for wrong in tried.wrong:
        sent = inputs(text)
        right = {key: value for key, value in tried.right.items() if key != tried.field}
        response = admin.post(path, {**sent, **right, tried.field: wrong}, headers=headers)
        text = response.text
        assert response.status_code == 200
        assert ("<html" in text) is not htmx
        assert not twice(text)
        if tried.shown_again:
            assert inputs(text)[tried.field] == wrong
    if not tried.right:  # nothing that a trial could be of: it takes a conversation's transcript
        return
    right = {key: _filled(value, there) for key, value in tried.right.items()}
    for _ in range(2):  # what costs money shows its figures first, and is done by the next click
        response = admin.post(path, {**inputs(text), **right}, headers=headers)
        text = response.text
        if tried.field not in inputs(text):
            break
    done = {200, 204} if htmx else {302}
    shown_once = {200} if name in SHOWN_ONCE else set()
    assert response.status_code in done | shown_once
    assert tried.field not in inputs(text)


def _filled(value: Any, there: dict[str, str]) -> Any:
    return value.format(**there) if isinstance(value, str) else value
